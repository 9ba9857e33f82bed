import gzip
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kedro.io import DatasetError

from torchlane.core.rows.raw_rows import columns_of, find_torn
from torchlane.datasets.rows import RawRowsDataset

CSV = "id,code,size\r\n1,NA,007\r\n2,,1e5\r\n"


def test_rows_are_text_as_it_stands_in_the_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbf" + CSV.encode())
    rows = RawRowsDataset(filepath=str(path)).load()
    assert rows.to_dict("list") == {"id": ["1", "2"], "code": ["NA", ""], "size": ["007", "1e5"]}
    assert rows.attrs["place"] == str(path)


def test_compressed_rows_and_their_preview(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode()))
    assert RawRowsDataset(filepath=str(path)).preview(nrows=1)["data"] == [["1", "NA", "007"]]


def test_missing_file_says_what_to_put_where(tmp_path):
    with pytest.raises(DatasetError, match=r"none.csv does not exist; put a CSV file with a header there"):
        RawRowsDataset(filepath=str(tmp_path / "none.csv")).load()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty; it needs a header"), (b"a\n\xff\xfe\n", "is not UTF-8: byte 0xff in line 2; save it as UTF-8")],
)
def test_file_that_is_no_table_is_refused(tmp_path, content, message):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        RawRowsDataset(filepath=str(path)).load()


def test_raw_rows_are_never_written(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(CSV)
    with pytest.raises(DatasetError, match="never written"):
        RawRowsDataset(filepath=str(path)).save("x")
    assert path.read_text() == CSV.replace("\r\n", "\n")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    """Serve the folder `published` on loopback."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "rows.csv").write_text(CSV)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_public_file_is_downloaded_once(tmp_path, server):
    path = tmp_path / "raw" / "rows.csv"
    dataset = RawRowsDataset(filepath=str(path), url=f"{server}/rows.csv")
    assert len(dataset.load()) == 2
    path.write_text("a\n1\n")
    assert list(dataset.load()) == ["a"]
    assert [each.name for each in path.parent.iterdir()] == ["rows.csv"]


def test_failed_download_says_which_file_to_put_where_and_leaves_nothing(tmp_path, server):
    path = tmp_path / "raw" / "rows.csv"
    with pytest.raises(
        DatasetError, match=r"raw/rows.csv does not exist and http://127.* cannot be downloaded .*404.*by hand"
    ):
        RawRowsDataset(filepath=str(path), url=f"{server}/none.csv").load()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'a,b\n1,x\n2,"y\n3,z\n4,w\n', "a quote is left open in .*, in or before row 2; close it"),
        (b'"a\nc",b\n1,x\n', "a quote is left open in the header"),
        (b"a,b,a\n1,2,3\n", "column 'a' occurs 2 times in the header"),
        (b'a,b\n1,x\n"2,y\n3,z\n4,w\n', "a quote is left open in .*, in or before row 2; close it"),
        (b"a\x00,\x00b\x00\n", "its header contains NUL bytes"),
        (b"\x1f\x8b\x08\x00", "is gzip, but its name does not end in .gz"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16; save it as UTF-8 text"),
    ],
)
def test_file_that_would_be_misread_is_refused(tmp_path, content, message):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        RawRowsDataset(filepath=str(path)).load()


@pytest.mark.parametrize("content", ["a,b\n1,2\n3\n4,5\n6,7,8\n", "\n\na;b\n1;2\n3\n4;5\n6;7;8\n"])
def test_rows_with_another_number_of_fields_are_named_and_missing(tmp_path, content):
    path = tmp_path / "rows.csv"
    path.write_text(content)
    rows = RawRowsDataset(filepath=str(path)).load()
    assert rows["a"].fillna("").tolist() == ["1", "", "4", ""]
    torn = find_torn(rows)
    assert torn["value"].to_dict() == {1: "3", 3: content.split("\n")[-2]}
    rule = "2 fields, as the header has, and not"
    assert torn["rule"].to_dict() == {1: f"{rule} 1", 3: f"{rule} 3: a text that holds the separator needs quotes"}
    assert columns_of(rows) == ["a", "b"]


def test_header_alone_gives_no_rows(tmp_path):
    path = tmp_path / "rows.csv"
    for content in ("a,b", "a,b\n"):
        path.write_text(content)
        rows = RawRowsDataset(filepath=str(path)).load()
        assert list(rows) == ["a", "b"]
        assert rows.empty
