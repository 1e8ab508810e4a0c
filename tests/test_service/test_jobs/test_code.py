from service.jobs.code import code_digest


def _tree(root, text="one = 1"):
    for name in ("adapters/methods", "models"):
        (root / name).mkdir(parents=True)
    (root / "adapters" / "methods" / "some.py").write_text(text)
    (root / "models" / "catalog.toml").write_text("[a]")
    return root


def test_the_same_code_has_the_same_digest(tmp_path):
    assert code_digest(_tree(tmp_path / "a")) == code_digest(_tree(tmp_path / "b"))


def test_a_line_a_name_or_a_table_that_changes_changes_it(tmp_path):
    seen = {code_digest(_tree(tmp_path / "a")), code_digest(_tree(tmp_path / "b", "one = 2"))}
    renamed = _tree(tmp_path / "c")
    (renamed / "adapters" / "methods" / "some.py").rename(renamed / "adapters" / "methods" / "other.py")
    table = _tree(tmp_path / "d")
    (table / "models" / "catalog.toml").write_text("[b]")
    assert len(seen | {code_digest(renamed), code_digest(table)}) == 4


def test_what_is_compiled_beside_it_does_not_count(tmp_path):
    before = code_digest(_tree(tmp_path / "a"))
    other = _tree(tmp_path / "b")
    (other / "adapters" / "some.pyc").write_bytes(b"1")
    assert code_digest(other) == before


def test_there_is_one_of_this_code():
    assert len(code_digest()) == 64
