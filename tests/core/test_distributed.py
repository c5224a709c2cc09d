from __future__ import annotations

from aptp_bench.core.distributed import ALONE, Ranks


def test_one_process_without_a_launcher(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Ranks.here() is ALONE
    assert ALONE.first
    ALONE.wait()


def test_shares_tile_the_items():
    items = list(range(11))
    shares = [Ranks(rank, 4).share(items) for rank in range(4)]
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [Ranks(rank, 4).first for rank in range(4)] == [True, False, False, False]
