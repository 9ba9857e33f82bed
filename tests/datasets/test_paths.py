from torchlane.datasets.paths import shown


def test_only_paths_inside_the_working_folder_are_shown_relative_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(shown(tmp_path / "data/a.csv")) == "data/a.csv"
    assert shown(tmp_path.parent / "a.csv") == tmp_path.parent / "a.csv"
