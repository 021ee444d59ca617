"""Whose folder it is."""

from pathlib import Path

import pytest

from salon.broker.errors import SettingError
from salon.broker.log.folder import DataFolder


def test_a_folder_keeps_the_cluster_it_was_made_for(tmp_path: Path):
    made = DataFolder(tmp_path, 1, "one")
    made.unlock()
    again = DataFolder(tmp_path, 1)
    again.unlock()
    assert made.cluster_id == again.cluster_id == "one"


def test_a_folder_of_another_cluster_is_refused_by_name_and_let_go(tmp_path: Path):
    DataFolder(tmp_path, 1, "one").unlock()
    with pytest.raises(SettingError, match=r"belongs to cluster one.*two"):
        DataFolder(tmp_path, 1, "two")
    DataFolder(tmp_path, 1, "one").unlock()
