"""Parts: every shipped file is valid and true to its source; a wrong file says all its faults."""

import pickle
import subprocess
import sys

import pytest

from hwprofiles.clusters import load_cluster
from hwprofiles.errors import ProfileError
from hwprofiles.parts import load_device, load_link, part_names

GB, TFLOP = 1e9, 1e12
GOOD = """
title = "mine"
source = "test"
[[devices]]
part = "tpu-v2"
count = 2
[fabric]
source = "test"
switches = ["s"]
edges = [{ from = 0, to = "s", link = "ici-tpu-v2" }, { from = 1, to = "s", link = "ici-tpu-v2" }]
"""


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def leaving(cluster, device):
    ids = [link_id for (src, _), link_id in cluster.edges.items() if src == device]
    return sum(cluster.links[link_id].bandwidth_bytes_per_s for link_id in ids)


@pytest.mark.parametrize("name", part_names("device"))
def test_every_device_loads_under_its_file_stem_with_a_source(name):
    device = load_device(name)
    assert device.name == name
    assert device.source


@pytest.mark.parametrize("name", part_names("link"))
def test_every_link_loads_under_its_file_stem_with_a_source(name):
    link = load_link(name)
    assert link.name == name
    assert link.source


def test_a_cluster_crosses_a_process():
    quad = load_cluster("v100-quad")
    again = pickle.loads(pickle.dumps(quad))
    assert (again.devices, again.links) == (quad.devices, quad.links)
    assert again.route(0, 3) == quad.route(0, 3)


def test_the_xeon_is_one_socket_with_both_fma_ports_at_base_clock():
    xeon = load_device("xeon-e5-2660-v3")
    assert xeon.peak_flop_per_s == {
        "float64": pytest.approx(10 * 2.6e9 * 16),
        "float32": pytest.approx(10 * 2.6e9 * 32),
    }
    assert xeon.memory_bytes_per_s == pytest.approx(4 * 2133e6 * 8, rel=1e-3)
    assert xeon.transfers_hold_compute


def test_the_v100_rates_are_dense_and_its_memory_is_what_software_sees():
    v100 = load_device("v100-sxm2-16g")
    # 5120 FMA lanes and 640 tensor cores of 64 FMA a cycle, at 1.53 GHz.
    assert v100.peak_flop_per_s["float32"] == pytest.approx(5120 * 2 * 1.53e9, rel=0.01)
    assert v100.peak_flop_per_s["float16"] == pytest.approx(2 * 5120 * 2 * 1.53e9, rel=0.01)
    assert v100.peak_flop_per_s["float16_matrix"] == pytest.approx(640 * 128 * 1.53e9, rel=0.01)
    assert v100.memory_bytes == 16_935_682_048
    assert v100.memory_bytes < 16 * 2**30


def test_the_tpu_is_one_chip_and_refuses_a_dtype_without_a_published_rate():
    tpu = load_device("tpu-v2")
    assert 4 * tpu.peak_flop_per_s["bfloat16"] == 180 * TFLOP  # the board
    with pytest.raises(ProfileError, match="in float32; known dtypes: bfloat16"):
        tpu.curve("linear_forward", "float32")


def test_links_count_one_direction():
    assert load_link("qpi-9.6-x2").bandwidth_bytes_per_s == 2 * 9.6e9 * 2
    assert 6 * load_link("nvlink-2-x1").bandwidth_bytes_per_s == 300 * GB / 2
    assert load_link("nvlink-2-x2").bandwidth_bytes_per_s == 50 * GB
    assert load_link("ici-tpu-v2").bandwidth_bytes_per_s == 496e9 / 8


def test_the_quad_has_the_direct_links_of_the_cube_mesh():
    quad = load_cluster("v100-quad")
    widths = {
        (a, b): quad.route(a, b).bandwidth_bytes_per_s / (25 * GB)
        for a in range(4)
        for b in range(a + 1, 4)
    }
    assert widths == {(0, 1): 1, (0, 2): 1, (0, 3): 2, (1, 2): 2, (1, 3): 1, (2, 3): 2}
    assert all(len(quad.route(a, b).links) == 1 for a, b in widths)
    assert [leaving(quad, gpu) / (25 * GB) for gpu in range(4)] == [4, 4, 5, 5]  # of 6 links


def test_the_board_is_a_ring_numbered_round_the_square():
    board = load_cluster("tpu-v2-board")
    assert [len(board.route(0, chip).links) for chip in range(4)] == [0, 1, 2, 1]
    assert [leaving(board, chip) for chip in range(4)] == [2 * 62 * GB] * 4


def test_a_file_of_the_user_is_a_cluster_named_by_its_stem(tmp_path):
    cluster = load_cluster(written(tmp_path, GOOD))
    assert (cluster.name, len(cluster.devices), len(cluster.links)) == ("mine", 2, 4)
    assert len(cluster.route(0, 1).links) == 2


def test_a_directed_edge_is_not_doubled(tmp_path):
    text = GOOD.replace('"ici-tpu-v2" },', '"ici-tpu-v2", directed = true },')
    with pytest.raises(ProfileError, match="cut off"):
        load_cluster(written(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('source = "test"', "", "source: expected, but not there"),
        ("count = 2", "count = 0", "devices.0.count: should be greater than or equal to 1, got 0"),
        ("count = 2", "count = 2.5", "devices.0.count: should be a valid integer, got 2.5"),
        ("count = 2", "cuont = 2", "devices.0.cuont: not a key of this block"),
        ("count = 2", "count = ", "expected TOML"),
        (
            "from = 1",
            "from = 7",
            "fabric.edges.1.from: expected a device 0 to 1 or a switch (s), got 7",
        ),
        ('to = "s"', 'to = "t"', "fabric.edges.0.to: expected a device 0 to 1"),
        ("from = 1", "from = 1.5", "fabric.edges.1.from: should be a valid integer, got 1.5"),
        ('"tpu-v2"', '"tpu-v22"', "device 'tpu-v22': unknown; did you mean tpu-v2"),
        ('"ici-tpu-v2"', '"ici"', "link 'ici': unknown"),
    ],
)
def test_a_wrong_file_names_file_key_expected_and_got(tmp_path, old, new, sentence):
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ProfileError) as caught:
        load_cluster(path)
    assert str(caught.value).startswith(f"cluster file '{path}': ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_of_a_file_are_reported_at_once(tmp_path):
    text = GOOD.replace("count = 2", "count = -2").replace("switches", "swiches")
    with pytest.raises(ProfileError, match=r"devices\.0\.count: .*; fabric\.swiches: "):
        load_cluster(written(tmp_path, text))
    text = GOOD.replace('"tpu-v2"', '"x"').replace('"ici-tpu-v2"', '"y"').replace("= 1", "= 9")
    with pytest.raises(ProfileError, match=r"'x': unknown.*'y': unknown.*edges\.1\.from"):
        load_cluster(written(tmp_path, text))


def test_unknown_names_and_missing_files_are_one_sentence(tmp_path):
    with pytest.raises(ProfileError, match=r"device 'v100': unknown; did you mean .*v100-sxm2-16g"):
        load_device("v100")
    with pytest.raises(ProfileError, match=r"cluster 'tpu': unknown; did you mean tpu-v2 or"):
        load_cluster("tpu")
    with pytest.raises(
        ProfileError, match="expected a TOML file, got No such file or directory; check"
    ):
        load_cluster(tmp_path / "none.toml")


DEVICE = """
title = "t"
kind = "gpu"
[memory]
capacity_gib = 2
bandwidth_gb_per_s = 100
source = "s"
[peak]
float32_tflop_per_s = 1
source = "s"
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("capacity_gib", "capacity_gb = 1\ncapacity_gib", "memory: should have exactly one of"),
        ("capacity_gib = 2", "", "memory: should have exactly one of capacity_bytes"),
        ("= 2", "= inf", "memory.capacity_gib: should be a finite number, got inf"),
        ("= 100", "= '100'", "memory.bandwidth_gb_per_s: should be a valid number, got '100'"),
        ("_gb_per_s", "_gbit_per_s", "memory.bandwidth_gbit_per_s: not a key of this block"),
        ("gpu", "npu", "kind: should be 'cpu', 'gpu' or 'tpu', got 'npu'"),
        ("float32_", "float16_matrix_", "should have float16_tflop_per_s beside float16_matrix"),
        ("float32_tflop_per_s = 1", "", "peak: should have a rate, e.g. float32_tflop_per_s"),
    ],
)
def test_a_wrong_device_names_key_expected_and_got(tmp_path, old, new, sentence):
    with pytest.raises(ProfileError) as caught:
        load_device(written(tmp_path, DEVICE.replace(old, new)))
    assert sentence in str(caught.value)


def test_a_cluster_may_be_made_of_the_users_own_parts(tmp_path):
    (tmp_path / "gpu.toml").write_text(DEVICE)
    (tmp_path / "wire.toml").write_text(
        'title = "t"\nsource = "s"\nbandwidth_gb_per_s = 2\nlatency_us = 3\nflow_cap_gb_per_s = 1\n'
    )
    text = GOOD.replace("tpu-v2", "gpu.toml").replace("ici-gpu.toml", "wire.toml")
    cluster = load_cluster(written(tmp_path, text))
    assert cluster.devices[1].memory_bytes == 2 * 2**30
    # Two hops of 3 us; 1 MB at the cap of 1 GB/s, not at the 2 GB/s of the wire.
    assert cluster.route(0, 1).transfer_s(1e6) == pytest.approx(6e-6 + 1e-3)


def test_parts_load_without_scipy():
    code = "import sys, hwprofiles.clusters as p; p.load_cluster('v100-quad'); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pydantic" in out.stdout.split()
    assert "scipy" not in out.stdout.split()
