# SPDX-License-Identifier: Apache-2.0
# Loaded by every file of command tests.
: "${TESSERA_BUILD:=$PWD}" "${TESSERA_SOURCE:=$BATS_TEST_DIRNAME/../..}"
tessera="$TESSERA_BUILD/tessera"
data="$TESSERA_SOURCE/tests/data"

# A folder of its own for each test, below the build folder.
fresh_folder()
{
    scratch="$TESSERA_BUILD/tests/scratch/$(basename "$BATS_TEST_FILENAME" .bats)-$BATS_TEST_NUMBER"
    rm -rf "$scratch"
    mkdir -p "$scratch"
}

# exits CODE COMMAND...: runs it, keeps stdout in $output and stderr in $errors.
exits()
{
    local expected=$1 code=0
    shift
    output=$("$@" 2>"$scratch/stderr") || code=$?
    errors=$(<"$scratch/stderr")
    [ "$code" = "$expected" ] || {
        printf 'exit code %s, expected %s\nstdout: %s\nstderr: %s\n' "$code" "$expected" "$output" "$errors"
        return 1
    }
}

# contains TEXT PIECE
contains()
{
    [[ $1 == *"$2"* ]] || { printf 'no "%s" in: %s\n' "$2" "$1"; return 1; }
}

needs()
{
    command -v "$1" >/dev/null || skip "$1 is not installed"
}

setup()
{
    fresh_folder
}
