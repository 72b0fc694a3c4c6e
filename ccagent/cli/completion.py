"""`ccagent completion`: what makes a shell complete verbs and options."""

from __future__ import annotations

import click

_SHELLS = ("bash", "zsh", "fish")

_FIRST_CALL = "$zsh_eval_context[-1] == loadautofunc"
"""How click's script for zsh knows that it stands in a file of functions. That holds for its first call alone: the second
one completes nothing."""

_EVERY_CALL = f"{_FIRST_CALL} || $funcstack[1] == _ccagent"

_EVERY_COMMA = 'string split "," $completion'
"""How click's script for fish takes kind and word apart, which cuts off a description at its first comma."""

_FIRST_COMMA = 'string split --max 1 "," $completion'


@click.command(name="completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion of this command for a shell; nothing is installed and no profile is touched.

    \b
    bash: ccagent completion bash > ~/.local/share/bash-completion/completions/ccagent
    zsh:  ccagent completion zsh > "${fpath[1]}/_ccagent"
    fish: ccagent completion fish > ~/.config/fish/completions/ccagent.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    # Not the shell's own `source`: bash's starts a bash to ask for its version, which need not be there.
    text = ShellComplete.source(found(ctx.find_root().command, {}, "ccagent", "_CCAGENT_COMPLETE"))
    click.echo(text.replace(_FIRST_CALL, _EVERY_CALL).replace(_EVERY_COMMA, _FIRST_COMMA))
