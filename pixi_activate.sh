# Source me: a conda-like shell in a pixi environment, by default the one with JupyterLab.
#     source pixi_activate.sh [default|lab|dev]
if ! command -v pixi >/dev/null 2>&1; then
    echo "pixi is not on PATH; see https://pixi.sh, or use 'make demo' and .venv instead" >&2
    return 1 2>/dev/null || exit 1
fi
_intccms_here="$(cd "$(dirname "${BASH_SOURCE[0]:-${(%):-%x}}")" && pwd)"
eval "$(pixi shell-hook --manifest-path "$_intccms_here/pixi.toml" --environment "${1:-lab}")"
unset _intccms_here
