"""Zones of caches by name: those that are configured, and those that are there anyhow."""

from tollkeeper.routes.room import CacheZone, Room


def test_a_zone_is_what_is_configured_or_one_that_is_there_anyhow() -> None:
    own, other = CacheZone(bytes=1, strategy="disk"), CacheZone(bytes=2)
    room = Room(cache_bytes=7, cache_zones={"own": own, "memory_cache": other})

    assert (room.cache_zone("own"), room.cache_zone("memory_cache"), room.cache_zone("none")) == (own, other, None)
    assert room.cache_zone("disk_cache_one") == CacheZone(bytes=7, strategy="disk")
