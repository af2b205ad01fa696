"""Exact answers from memory, where the operator or the caller wants them."""

from tollkeeper.policies.cache.cache import ORDER, Cache
from tollkeeper.policies.cache.cacheable import CacheOptions, ModelCache

__all__ = ["ORDER", "Cache", "CacheOptions", "ModelCache"]
