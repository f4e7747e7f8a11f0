"""Hosts files: names and slots, or the line that is wrong."""

import pytest

from hwprofiles.errors import RecordError
from runtime.hosts import read_hosts


def test_slots_are_one_unless_said_and_remarks_are_none(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("# two racks\nnode-1:4\n\nnode-2.rack   # small\n10.0.0.3:2\n")
    hosts = read_hosts(path, shared=tmp_path)
    assert hosts.slots == (("node-1", 4), ("node-2.rack", 1), ("10.0.0.3", 2))
    assert hosts.workers == 7


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected at least one host, got none"),
        ("# nothing\n", "expected at least one host"),
        ("a:2\nb:0\n", r"line 2: expected a name, or name:slots .* got 'b:0'"),
        ("a b\n", r"line 1: expected a name.*'a b'"),
        ("a:two\n", "line 1: expected a name"),
        ("-launcher\nssh;x", "line 2: expected a name"),
        ("a:2\na:3\n", "line 2: expected each host once, got a again"),
    ],
)
def test_a_wrong_line_is_named(text, says, tmp_path):
    path = tmp_path / "hosts"
    path.write_text(text)
    with pytest.raises(RecordError, match=says):
        read_hosts(path, shared=tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_what_is_no_file_is_said(name, tmp_path):
    with pytest.raises(RecordError, match=r"expected a hosts file, got .*; check the path"):
        read_hosts(tmp_path / name, shared=tmp_path)
