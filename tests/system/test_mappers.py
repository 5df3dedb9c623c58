"""Beside simulators that search mappings: committed numbers of theirs, explained, and ours at least as good."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from reports import system_mappers
from reports.system_mappers import PEERS, RESULT, TPU_V4I, ZIGZAG, PeerRow, own, peer_file, peer_rows, port_cycles
from reports.system_peers import one_product
from sim.system import Array, estimate_system
from sim.workload import Pass

ROWS = [(peer, row) for peer in PEERS for row in peer_rows(peer)]


def name_of(value: object) -> str:
    if isinstance(value, PeerRow):
        return f"{value.m}x{value.n}x{value.k}-{value.objective}"
    return str(value)


ZIGZAG_ROWS = [row for row in peer_rows("zigzag") if row.objective == "latency"]


@pytest.mark.parametrize(("peer", "row"), ROWS, ids=name_of)
def test_no_search_found_less_traffic(peer: str, row: PeerRow) -> None:
    assert own(peer, row).total <= row.total


@pytest.mark.parametrize("row", ZIGZAG_ROWS, ids=name_of)
def test_zigzag_computes_as_long_and_is_faster_only_than_its_port_allows(row: PeerRow) -> None:
    found = own("zigzag", row)
    # Rows enter (32), and the last sum leaves 31 + 31 cycles after.
    assert found.computing - row.terms["ideal"] == 94
    assert sum(row.terms.values()) == row.cycles
    assert found.cycles <= max(row.cycles, port_cycles(row))


@pytest.mark.parametrize("row", [one for one in ZIGZAG_ROWS if one.m == 1], ids=name_of)
def test_zigzag_decode_to_the_cycle(row: PeerRow) -> None:
    """Weights at the port, the first block's computing where there are several, stores and a cycle, drain; ours are all
    bytes at the port.
    """
    (inside,) = re.findall(r"W: \[\[(.*?)\], \[", row.mapping)
    first = math.prod(int(factor) for factor in re.findall(r"(\d+)\)", inside))
    first = 0 if first == row.terms["ideal"] else first
    weights, acts, results = (row.moved[one] / 8 for one in ("weights", "acts", "results"))
    assert row.cycles == weights + first + results + 1 + 62
    assert own("zigzag", row).cycles == weights + acts + results
    assert own("zigzag", row).cycles - row.cycles == acts - first - 1 - 62


@pytest.mark.parametrize("row", [one for one in ZIGZAG_ROWS if one.m > 1], ids=name_of)
def test_zigzag_prefill_is_slower_by_what_it_does_not_overlap(row: PeerRow) -> None:
    found = own("zigzag", row)
    exposed = sum(row.terms[one] for one in ("stalls", "onloading", "offloading"))
    if found.cycles == found.computing:
        assert row.cycles - found.cycles == exposed + 62 - 94
    else:
        assert found.cycles == port_cycles(row) == found.total / 8


@pytest.mark.parametrize("row", peer_rows("accelforge_simple"), ids=name_of)
def test_simple_does_a_product_a_cycle(row: PeerRow) -> None:
    assert own("accelforge_simple", row).cycles == row.cycles == row.m * row.n * row.k


TPU = [(peer, row) for peer, row in ROWS if peer.startswith("accelforge_tpu")]


@pytest.mark.parametrize(("peer", "row"), TPU, ids=name_of)
def test_tpu_v4i_is_the_longest_of_its_parts(peer: str, row: PeerRow) -> None:
    found, rate = own(peer, row), TPU_V4I.memory.bytes_per_cycle(1 / 1.05)
    assert max(row.terms.values()) == pytest.approx(row.cycles)
    assert row.terms["MainMemory"] == pytest.approx(row.total / rate, rel=1e-6)
    assert found.cycles == max(found.computing, math.ceil(found.total / rate))
    if peer == "accelforge_tpu_v4i":
        assert found.cycles <= math.ceil(row.cycles)
    if row.model == "llama-2-7b":
        assert found.cycles == math.ceil(row.cycles - 1e-3)


@pytest.mark.parametrize("row", [row for _, row in TPU if row.m > 1], ids=name_of)
def test_the_shared_buffer_of_tpu_v4i_would_not_be_the_longest(row: PeerRow) -> None:
    """Tokens shared by four cores: each reads all weights (2048 GB/s), and what memory and cores give is written once
    (1024 GB/s); it is no part of an `Array`, and no reason for ours to be lower.
    """
    found = own("accelforge_tpu_v4i", row)
    read = (4 * found.moved["weights"] + found.moved["acts"] + found.moved["results"]) / 2048 * 1.05
    written = found.total / 1024 * 1.05
    assert max(read, written) < found.cycles


@pytest.mark.parametrize("row", peer_rows("accelforge_tpu_v4i_any_block"), ids=name_of)
def test_blocks_that_are_no_factors_are_counted_in_parts(row: PeerRow) -> None:
    """AccelForge is below ours by blocks that it does not count whole: the loops of its own mapping take no less."""
    steps = math.prod(int(count) for count in re.findall(r"T-\w+ in \[0\.\.(\d+)\)", row.mapping))
    found = own("accelforge_tpu_v4i_any_block", row)
    assert found.cycles <= steps
    assert row.cycles < steps
    assert row.cycles < found.cycles < 1.02 * row.cycles


@pytest.mark.parametrize(
    "change", [{"sum_bits": 0.0}, {"act_bytes": 1 << 20}, {"result_bits": 16.0}, {"fill": "none"}], ids=str
)
def test_every_value_of_the_machine_is_needed(change: dict[str, object]) -> None:
    """Sums that took no room would let the activations of Llama-2-7B stay, and so on."""
    assert isinstance(ZIGZAG.core, Array)
    layer = one_product("layer", 512, 4096, 4096)
    wanted = estimate_system(ZIGZAG, layer, Pass())
    other = estimate_system(replace(ZIGZAG, core=replace(ZIGZAG.core, **change)), layer, Pass())  # type: ignore[arg-type]
    assert (other.cycles, other.bytes) != (wanted.cycles, wanted.bytes)


def test_the_page_is_of_today() -> None:
    text = RESULT.read_text(encoding="utf-8")
    tables = [
        *(system_mappers.zigzag_cycles(peer) for peer in PEERS[:2]),
        *(system_mappers.tpu_cycles(peer) for peer in PEERS[3:]),
    ]
    tables += [
        system_mappers.traffic(peer, objective, title)
        for peer, objective, title in (
            ("zigzag", "energy", "ZigZag"),
            ("accelforge_simple", "energy", "AccelForge"),
            ("accelforge_tpu_v4i", "latency", "AccelForge"),
        )
    ]
    assert all(table in text for table in tables)
    assert all(peer_file(peer)["package"] in text for peer in PEERS)
