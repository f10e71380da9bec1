"""The help says all that the source says, and a usage error says what to do."""

from typing import get_args, get_type_hints

import pytest
from conftest import fails
from typer.testing import CliRunner

from lso_bench.cli import COMMANDS, app

TEXTS = {
    name: [
        said.help
        for kind in get_type_hints(command, include_extras=True).values()
        for said in get_args(kind)[1:]
        if getattr(said, "help", None)
    ]
    for name, command in COMMANDS.items()
}


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_there_are_defaults_to_be_shown():
    assert sum("[default" in text for texts in TEXTS.values() for text in texts) > 20


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("width", ["40", "200"])
def test_help_has_every_text_whole(command, width):
    done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": width, "TERMINAL_WIDTH": width})
    assert done.exit_code == 0
    for text in TEXTS[command]:
        assert squeezed(text) in squeezed(done.output), text


@pytest.mark.parametrize("value", ["", "0", "1", "-5", "abc", "²", "1e9"])
def test_variables_of_a_terminal_do_no_harm(call, monkeypatch, value):
    for variable in ("COLUMNS", "LINES", "TERMINAL_WIDTH", "NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.setenv(variable, value)
    done = call("list", "searchers")
    assert done.returncode == 0 and "adam" in done.stdout and done.stderr == ""
    assert "Usage" in call("compare", "--help").stdout


def test_a_forgotten_option_name_is_said(call):
    fails(call("run", "--model", "vae", "ink"), 2, "No study file 'ink'", "--task ink")
