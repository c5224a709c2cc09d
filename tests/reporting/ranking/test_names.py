from __future__ import annotations

import pytest

from aptp_bench import registry
from aptp_bench.reporting.ranking.names import link, meaning, method_title, paper, title


@pytest.mark.parametrize(
    ("citation", "where"),
    [
        ("Li et al., Norms, ICLR 2017, arXiv:1608.08710", "https://arxiv.org/abs/1608.08710"),
        ("Somebody 2024, arXiv:2401.09603, Section 3", "https://arxiv.org/abs/2401.09603"),
        ("Wang et al. 2004, doi:10.1109/TIP.2003.819861", "https://doi.org/10.1109/TIP.2003.819861"),
        ("Wang, doi:10.1109/TIP.2003.819861, Section 2", "https://doi.org/10.1109/TIP.2003.819861"),
        ("Castells et al., CVPR Workshops 2024, pp. 821-830", ""),
        ("", ""),
    ],
)
def test_a_citation_leads_to_its_paper(citation: str, where: str) -> None:
    assert link(citation) == where


@pytest.mark.parametrize(
    "name", [n for n, found in registry.plugins("methods").items() if found.provider == "aptp-bench"]
)
def test_our_methods_have_titles_of_their_own_and_papers_that_can_be_read(name: str) -> None:
    titles = [method_title(each) for each in registry.plugins("methods")]
    assert "_" not in method_title(name) and titles.count(method_title(name)) == 1
    assert bool(link(paper("methods", name))) == bool(paper("methods", name))


def test_what_is_not_installed_has_its_name_and_no_more() -> None:
    assert method_title("no_such") == "no_such" and title("no_such") == "no such"
    assert paper("methods", "no_such") == meaning("no_such") == ""


def test_a_metric_says_what_it_is_and_whose() -> None:
    assert "Heusel" in meaning("fid") and "Inception" in meaning("fid")
