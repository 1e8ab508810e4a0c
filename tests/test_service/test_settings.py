"""Settings come from GRAFT_* variables, and from nothing else."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.cores import available_cores
from service.settings import Settings, SettingsUnknown


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in [name for name in os.environ if name.startswith("GRAFT_")]:
        monkeypatch.delenv(name)


def test_values_are_read_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAFT_HOME", str(tmp_path))
    monkeypatch.setenv("GRAFT_MAX_ROWS", "7")
    monkeypatch.setenv("GRAFT_BACKBONES", "fake, minilm-l6")
    settings = Settings.from_environment()
    assert (settings.home, settings.max_rows, settings.backbones) == (tmp_path, 7, ("fake", "minilm-l6"))


def test_folders_are_absolute_and_there_are_none_by_default(monkeypatch, tmp_path):
    assert Settings.from_environment().backbone_folders == ()
    monkeypatch.setenv("GRAFT_BACKBONE_FOLDERS", f"{tmp_path}, /srv/weights")
    assert Settings.from_environment().backbone_folders == (tmp_path, Path("/srv/weights"))


def test_a_backbone_that_no_catalogue_has_stops_the_start(monkeypatch):
    monkeypatch.setenv("GRAFT_BACKBONES", "fake,scatter2d")
    with pytest.raises(ValidationError, match=r"no 'scatter2d' in the catalogue; did you mean scatter-2d\?"):
        Settings.from_environment()
    monkeypatch.setenv("GRAFT_BACKBONES", "zzz")
    with pytest.raises(ValidationError, match="no 'zzz' in the catalogue, which has ast, "):
        Settings.from_environment()


def test_an_unknown_variable_stops_the_start_and_names_the_nearest(monkeypatch):
    monkeypatch.setenv("GRAFT_MAX_ROW", "7")
    with pytest.raises(SettingsUnknown, match=r"GRAFT_MAX_ROW .* did you mean GRAFT_MAX_ROWS\?"):
        Settings.from_environment()


def test_a_known_name_with_something_behind_it_is_unknown(monkeypatch):
    monkeypatch.setenv("GRAFT_MAX_ROWS__SOFT", "7")
    with pytest.raises(SettingsUnknown, match="GRAFT_MAX_ROWS__SOFT"):
        Settings.from_environment()


def test_an_unknown_variable_like_no_other_lists_what_is_known(monkeypatch):
    monkeypatch.setenv("GRAFT_ZZZZZZZZ", "7")
    with pytest.raises(SettingsUnknown, match="known are GRAFT_ALLOWED_HOSTS, GRAFT_API_PROCESSES"):
        Settings.from_environment()


def test_the_clients_own_variables_may_stand_beside(monkeypatch):
    monkeypatch.setenv("GRAFT_URL", "http://127.0.0.1:3000")
    monkeypatch.setenv("GRAFT_KEY", "k")
    assert Settings.from_environment().workers == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRAFT_WORKERS", "2"),
        ("GRAFT_WORKERS", "-1"),
        ("GRAFT_BACKBONES", " , "),
        ("GRAFT_BACKBONE_FOLDERS", "weights"),
        ("GRAFT_MAX_BACKBONE_BYTES", str(2**31)),
        ("GRAFT_MAX_SOUND_S", "inf"),
        ("GRAFT_MAX_IMAGE_PIXELS", "0"),
        ("GRAFT_CACHE_BYTES", "-1"),
        ("GRAFT_GPU_MEMORY_BYTES", "-1"),
        ("GRAFT_MAX_FIT_S", "0"),
        ("GRAFT_LOG_LEVEL", "LOUD"),
        ("GRAFT_FIT_MEMORY_BYTES", "1024"),
        ("GRAFT_WORKER_TIMEOUT_S", "1"),
    ],
)
def test_values_out_of_range_stop_the_start(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.removeprefix("GRAFT_").lower()):
        Settings.from_environment()


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        Settings().max_rows = 1


def test_paths_lie_under_the_home_and_do_not_move_with_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = Settings(home="state")
    expected = tmp_path.resolve() / "state"
    assert settings.database_url == f"sqlite:///{expected}/registry.sqlite"
    assert settings.queue_url == f"sqlite:///{expected}/queue.sqlite"
    assert settings.backbones_dir == expected / "backbones"


def test_threads_are_the_number_given_or_every_core():
    given = Settings(encoder_lanes=3, fit_threads=5)
    assert (given.lanes, given.threads_for_fitting) == (3, 5)
    every = Settings()
    assert every.processes == -(-available_cores() // 8)
    assert every.lanes == max(1, available_cores() // every.processes)
    assert every.threads_for_fitting == available_cores()
    assert Settings(api_processes=1).lanes == available_cores()
    assert Settings(api_processes=100).lanes == 1


@pytest.mark.parametrize("name", ["GRAFT_BOOTSTRAP_KEY", "GRAFT_KEY_PEPPER"])
@pytest.mark.parametrize(
    ("value", "why"),
    [("hunter2", "7 characters"), ("", "0 characters"), ("s3cret" * 6 + "\n", "line breaks"), ("ü" * 40, "ASCII")],
)
def test_a_weak_secret_stops_the_start_and_is_not_shown(monkeypatch, name, value, why):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=why) as caught:
        Settings.from_environment()
    assert name.removeprefix("GRAFT_").lower() in str(caught.value)
    assert not value.strip() or value.strip() not in str(caught.value)


def test_secrets_are_shown_nowhere(monkeypatch):
    monkeypatch.setenv("GRAFT_BOOTSTRAP_KEY", "b0otstrap" * 4)
    settings = Settings.from_environment()
    assert settings.bootstrap_key.get_secret_value() == "b0otstrap" * 4
    assert "b0otstrap" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
