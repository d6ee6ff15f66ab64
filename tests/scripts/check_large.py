#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_large.py TESSERA DIR [MODEL...]: what large files cost.

Without models: headers of published size above holes of zeros, which take no space, are described at
once and in little memory, and everything that is wrong with their tensors is named. With models
(rgb, 4m-21-b, 4m-21-l; `make check-full`): files of full size with random weights are made in DIR,
described with a cold cache, loaded and run, and times and peaks of memory are printed beside the limits.
A peak is that of all heads of the model, packed."""
import json, os, struct, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
TESSERA, FOLDER = sys.argv[1], sys.argv[2]
MIB = 1 << 20


def check(true, what):
    if not true:
        sys.exit(f"FAILED: {what}")


def run(*words):
    """Output, exit code, seconds by the clock and of processors, peak of resident memory."""
    start = time.time()
    p = subprocess.Popen([TESSERA, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out = p.stdout.read().decode()
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu = time.time() - start, used.ru_utime + used.ru_stime
    return out, p.returncode, seconds, cpu, used.ru_maxrss * 1024


def make(script, model, path, *more):
    if not os.path.exists(path):
        subprocess.run([sys.executable, os.path.join(HERE, script), model, path, *more], check=True)


def rename_tensors(path, count):
    """`count` tensors of blocks get other names of the same length."""
    with open(path, "r+b") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(n))
        names = [k for k in header if k.startswith("encoder.")][-count:]
        for k in names:
            header["X" + k[1:]] = header.pop(k)
        header = json.dumps(header, separators=(",", ":")).encode()
        f.seek(8)
        f.write(header + b" " * (n - len(header)))
    return set(names)


def holes():
    path = os.path.join(FOLDER, "xl.safetensors")
    make("make_fm.py", "4m-21-xl", path, "--sparse")
    if os.stat(path).st_blocks * 512 > 64 * MIB:
        os.remove(path)
        print("no files with holes here: skipped")
        sys.exit(77)
    out, code, _, cpu, peak = run("info", "--json", path)
    check(code == 0, f"info ended with {code}")
    v = json.loads(out)
    check(v["sizes"]["dim"] == 2048 and v["tensor_count"] == 733, "sizes of the XL model")
    check(v["values"] == 4539922432 and v["weight_bytes"]["run_bf16"] < v["data_bytes"] / 2, "values")
    check(v["left_out"] == ["t5_caption"] and len(v["modalities"]) == 18, "modalities")
    check("missing" not in v and "not_expected" not in v, "nothing is wrong with it")
    check(cpu < 1.0, f"info took {cpu:.2f} s of processor time for 18 GB")
    check(peak < 256 * MIB, f"info held {peak / MIB:.0f} MiB for 18 GB")
    names = rename_tensors(path, 40)
    out, code, _, cpu, peak = run("info", "--json", path)
    v = json.loads(out)
    check(code == 3, f"info of other names ended with {code}, expected 3")
    check(set(v["missing"]) == names and len(v["not_expected"]) == 40, "all names are listed")
    check("and 32 more" in run("info", path)[0], "people are shown some and told how many more")
    check(run("generate", path, "--to", "caption")[1] == 3, "generate refuses it")
    with open(path, "r+b") as f:
        f.truncate(os.path.getsize(path) - 1)
    check(run("info", path)[1] == 1, "a file cut short is refused")
    os.remove(path)
    print(f"18 GB described in {cpu:.2f} s of processor time and {peak / MIB:.0f} MiB")


def forget(path):
    """Let go of the file's pages in memory."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def report(what, seconds, cpu, peak, limit):
    print(f"{what:<34} {seconds:8.2f} s {cpu:8.2f} s of processors {peak / MIB:8.0f} MiB {limit}")
    sys.stdout.flush()


def describe(path, *words):
    forget(path)
    out, code, seconds, cpu, peak = run("info", "--json", *words, path)
    report(f"info, cold: {os.path.basename(path)}", seconds, cpu, peak, "(at most 1 s)")
    check(code == 0 and cpu < 1.0, f"info of {path}")
    return json.loads(out)


def full(model):
    path = os.path.join(FOLDER, model + ".safetensors")
    if model == "rgb":
        make("make_divae.py", model, path)
        describe(path, "-m", "rgb@224")
        return
    make("make_fm.py", model, path)
    bf16 = 2 * describe(path)["values"]
    for what, words in (
        ("chain, cold: depth, caption", ["--to", "tok_depth@224,caption", "--set", "max_tokens=32"]),
        ("every head", ["--to", "all", "--set", "steps=1,max_tokens=2"]),
    ):
        if what.startswith("chain"):
            forget(path)
        out, code, seconds, cpu, peak = run("generate", path, "--json", "-q", *words)
        check(code == 0, f"generate ended with {code}")
        limit = 1.15 * bf16
        report(what, seconds, cpu, peak, f"(at most {limit / MIB:.0f}; {peak / bf16:.2f} of bf16)")
        check(peak < limit, f"{model} held {peak / bf16:.2f} times its bf16 size")
        for target in json.loads(out)["chain"]:
            if "seconds" in target:
                print(f"    {target['target']:<30} {target['seconds']:8.2f} s")


for name in sys.argv[3:]:
    full(name)
if len(sys.argv) == 3:
    holes()
