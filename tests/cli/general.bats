# SPDX-License-Identifier: Apache-2.0
# What holds for every command: help, mistakes, exit codes, output.
load common.bash

commands()
{
    "$tessera" help --json | jq -r '.[].name'
}

@test "without a command: usage on stderr, exit 2" {
    exits 2 "$tessera"
    [ -z "$output" ]
    contains "$errors" "Usage: tessera COMMAND"
}

@test "version" {
    exits 0 "$tessera" --version
    [[ $output =~ ^tessera\ [0-9]+\.[0-9]+ ]]
}

@test "an unknown command gets a suggestion" {
    exits 2 "$tessera" hlep
    contains "$errors" 'did you mean "tessera help"?'
    exits 2 "$tessera" zzzzzzzzzz
    exits 2 "$tessera" help zzzzzzzzzz
}

@test "an unknown option gets a suggestion" {
    exits 2 "$tessera" help --jsno
    contains "$errors" "did you mean --json?"
}

@test "the list of commands is not empty and each has help" {
    needs jq
    [ "$(commands | wc -l)" -ge 1 ]
    for c in $(commands); do
        exits 0 "$tessera" "$c" --help
        contains "$output" "Usage: tessera $c"
        [ -z "$errors" ]
        exits 0 "$tessera" help "$c"
        exits 2 "$tessera" "$c" --no-such-option
        contains "$errors" "--no-such-option"
    done
}

@test "the option tables are valid JSON with help for each option" {
    needs jq
    "$tessera" help --json | jq -se '(.[0] | length > 0) and all(.[0][]; .summary != "" and all(.options[]; .help != ""))'
}

@test "summaries and help sentences have no full stop" {
    needs jq
    "$tessera" help --json | jq -se '(.[0] | length > 0) and all(.[0][]; (.summary | endswith(".") | not) and
        all(.options[]; .help | endswith(".") | not))'
}

@test "a closed pipe ends quietly" {
    set -o pipefail
    run bash -c "set -o pipefail; '$tessera' help --json 2>'$scratch/err' | head -c 1"
    [ "$status" = 0 ]
    [ ! -s "$scratch/err" ]
}

@test "a full disk is an error" {
    [ -w /dev/full ] || skip "no /dev/full"
    run bash -c "'$tessera' help >/dev/full"
    [ "$status" = 1 ]
    contains "$output" "standard output"
}

@test "bash completes commands, options and choices" {
    exits 0 "$tessera" help --form=bash
    source /dev/stdin <<<"$output"
    COMP_WORDS=(tessera he) COMP_CWORD=1
    _tessera
    [ "${COMPREPLY[*]}" = help ]
    COMP_WORDS=(tessera help --js) COMP_CWORD=2
    _tessera
    [ "${COMPREPLY[*]}" = --json ]
    COMP_WORDS=(tessera help --form = ma) COMP_CWORD=4
    _tessera
    [ "${COMPREPLY[*]}" = man ]
}
