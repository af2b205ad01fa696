"""Exact answers from memory, where the operator or the caller wants them."""

from tollkeeper.policies.cache.cacheable import CacheOptions, ModelCache
from tollkeeper.policies.cache.cache import ORDER, Cache

__all__ = ["ORDER", "Cache", "CacheOptions", "ModelCache"]
