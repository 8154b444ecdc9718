from perf.schema.cell import safe_name


def test_a_model_of_an_odd_name_gets_a_folder_of_its_own() -> None:
    """A folder's name may hold bytes that are no text, which Python gives as halves of characters."""
    names = ("half \udce9 a", "half \udcea a", "a/b", "..", "", "x" * 200, "عربي")
    folders = {safe_name(n) for n in names}
    assert len(folders) == len(names)
    for folder in folders:
        assert "/" not in folder
        assert folder.encode("utf-8")
        assert len(folder.encode()) <= 120
