#!/usr/bin/env bash
# Checks terraform/ with Terraform itself and tflint, without any provider: a program of ours (tests/terraform/provider) stands in for
# them with their schemas. `terraform validate` so checks every argument and type, and `terraform test` runs with mocked providers.
# What needs neither is in tests/terraform, which scripts/test-manifests.sh runs.
# usage: check-terraform.sh [MODULE...]        such as modules/eks; all of them without any. TERRAFORM, TFLINT: programs to use
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
TERRAFORM=${TERRAFORM:-$(command -v terraform || true)}
# It cannot be built from its Go module, whose parts lie in modules that nobody publishes.
[ -n "$TERRAFORM" ] || { echo "error: Terraform 1.9 or newer is needed: put it into PATH, or its path into TERRAFORM" >&2; exit 1; }
TFLINT=${TFLINT:-$(tests/cluster/tool tflint)}
command -v go >/dev/null || { echo "error: Go 1.26 or newer is needed (go is not in PATH)" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The stand-in, once for each provider: its file's name says whose place it takes.
(cd tests/terraform/provider && go vet . && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$work/stand-in" .)
export SCHEMAS=$root/tests/terraform/schemas TF_CLI_CONFIG_FILE=$work/terraformrc CHECKPOINT_DISABLE=1
{
    echo 'provider_installation {'
    echo '  dev_overrides {'
    for schema in "$SCHEMAS"/*.json; do
        provider=$(basename "$schema" .json)
        mkdir -p "$work/providers/$provider"
        ln "$work/stand-in" "$work/providers/$provider/terraform-provider-$provider"
        echo "    \"hashicorp/$provider\" = \"$work/providers/$provider\""
    done
    echo '  }'
    echo '}'
} >"$TF_CLI_CONFIG_FILE"

# Without the warning that providers are overridden, which is what they are for here.
terraform() {
    "$TERRAFORM" "$@" -no-color 2>&1 | sed -e '/^Warning: Provider development overrides are in effect/,/^releases\.$/d' -e '/^$/d' \
        -e 's/, but there were some validation warnings$/./' -e '/^as shown above\.$/d'
}

failed=()
"$TERRAFORM" fmt -check -diff -recursive terraform || failed+=("terraform fmt")
if [ $# -eq 0 ]; then
    mapfile -t modules < <(cd terraform && find . -name versions.tf -not -path '*/.terraform/*' -printf '%h\n' | sed 's|^\./||' | sort)
else
    modules=("$@")
fi
for module in "${modules[@]}"; do
    [ -f "terraform/$module/versions.tf" ] || { echo "error: terraform/$module is no module" >&2; exit 2; }
    echo "== $module"
    export TF_DATA_DIR=$work/data/$module
    # `init` would ask a registry for the providers; modules are all that is needed.
    (cd "terraform/$module" && "$TERRAFORM" get >/dev/null && terraform validate && terraform test) || failed+=("terraform/$module")
    "$TFLINT" --chdir="terraform/$module" --config="$root/terraform/.tflint.hcl" --no-color || failed+=("tflint terraform/$module")
done
if [ ${#failed[@]} -gt 0 ]; then
    printf 'error: failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
