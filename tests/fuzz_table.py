#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of uapi/vaultring.yaml that fuzz_kernel makes its messages from.

    fuzz_table.py SPEC > fuzz_table.h
    fuzz_table.py SPEC --syzkaller > vaultring.txt

The second is the same for syzkaller, to be put into its sys/linux with the header
in the kernel's include/uapi/linux.

By lines and their indentation, since the guests' roots have no parser for YAML; the
assertions in what it writes fail where it has missed one.
"""
import re
import sys

KINDS = {"u32": "U32", "u64": "U64", "string": "STRING", "binary": "BINARY",
         "nest": "NEST", "pad": "PAD"}


def constant(prefix, name):
    return (prefix + name).upper().replace("-", "_")


def read_sets(lines):
    """[(set, prefix, [{name, type, ...}])], in order."""
    sets = []
    for line in lines:
        if m := re.match(r"    name: (\S+)$", line):
            sets.append([m[1], None, []])
        elif m := re.match(r"    name-prefix: (\S+)$", line):
            sets[-1][1] = m[1]
        elif re.match(r"      -$", line):
            sets[-1][2].append({})
        elif m := re.match(r"        ([a-z-]+): (\S+)$", line):
            sets[-1][2][-1][m[1]] = m[2]
        elif m := re.match(r"          ((?:max|exact)-len): (\S+)$", line):
            sets[-1][2][-1][m[1]] = m[2]
    return sets


def read_operations(lines):
    """[{name, request, dump}]; request is None for what only the kernel sends."""
    ops, part = [], None
    text = re.sub(r",\n +", ", ", "\n".join(lines))
    for line in text.split("\n"):
        if m := re.match(r"      name: (\S+)$", line):
            ops.append({"name": m[1], "request": None, "dump": False})
        elif m := re.match(r"      (do|dump|event):$", line):
            ops[-1]["dump"] |= m[1] == "dump"
            part = None
        elif m := re.match(r"        (request|reply):", line):
            part = m[1]
        elif (m := re.match(r"          attributes: \[(.*)\]$", line)) and \
                part == "request":
            ops[-1]["request"] = [a for a in re.split(r", *", m[1]) if a]
    return ops


def write_set(name, prefix, attributes):
    symbol = name.replace("-", "_") + "_attrs"
    print(f"static const struct attr_spec {symbol}[] = {{")
    for a in attributes:
        fields = [f'"{a["name"]}"', "KIND_" + KINDS[a["type"]]]
        for check in ("max-len", "exact-len"):
            if check in a:
                fields.append(f'.{check.replace("-", "_")} = '
                              f'{constant("vaultring-", a[check])}')
        if "nested-attributes" in a:
            nested = a["nested-attributes"].replace("-", "_") + "_attrs"
            fields += [f".nested = {nested}",
                       f".n_nested = sizeof({nested}) / sizeof({nested}[0])"]
        if a.get("multi-attr") == "true":
            fields.append(".repeats = 1")
        print(f"\t[{constant(prefix, a['name'])}] =\n\t\t{{ "
              f"{', '.join(fields)} }},")
    print("};")
    print(f"_Static_assert(sizeof({symbol}) / sizeof({symbol}[0]) == "
          f"{constant(prefix, 'max')} + 1 &&\n\t       {len(attributes)} == "
          f'{constant(prefix, "max")}, "of {name}, each is there");\n')


def write_operations(ops, prefix):
    print("static const struct op_spec op_specs[] = {")
    for op in ops:
        if op["request"] is None:
            continue
        attributes = "".join(f"\n\t\t{constant(prefix, a)},"
                             for a in op["request"])
        print(f'\t{{ "{op["name"]}", {constant("vaultring-cmd-", op["name"])}, '
              f'{int(op["dump"])}, {len(op["request"])}, {{{attributes}\n\t}} }},')
    print("};")
    print(f'_Static_assert({len(ops)} == VAULTRING_CMD_MAX, '
          '"each operation is there");')


def write_policy(name, prefix, attributes, chosen):
    """A union for syzkaller of the attributes that are chosen."""
    print(f"{name} [")
    for a in attributes:
        if a["name"] not in chosen or a["type"] == "pad":
            continue
        kind = {"u32": "int32", "u64": "int64", "string": "string"}.get(
            a["type"])
        if a["type"] == "binary":
            size = a.get("exact-len")
            kind = "array[int8, %s]" % constant("vaultring-", size) if size \
                else "array[int8]"
        symbol = constant(prefix, a["name"])
        print(f"\t{symbol}\tnlattr[{symbol}, {kind}]" if kind else
              f"\t{symbol}\tnlnest[{symbol}, array[vaultring_"
              f"{a['nested-attributes'].replace('-', '_')}]]")
    print("] [varlen]\n")


def write_syzkaller(sets, ops):
    print("# Made by tests/fuzz_table.py from uapi/vaultring.yaml\n")
    for header in ("net", "socket"):
        print(f"include <linux/{header}.h>")
    for header in ("netlink", "genetlink", "vaultring"):
        print(f"include <uapi/linux/{header}.h>")
    print("""
resource genl_vaultring_family_id[int16]

type msghdr_vaultring[CMD, POLICY] msghdr_netlink[netlink_msg_t[\
genl_vaultring_family_id, genlmsghdr_t[CMD], POLICY]]

syz_genetlink_get_family_id$vaultring(name ptr[in, string["vaultring"]], \
fd sock_nl_generic) genl_vaultring_family_id
""".replace("\\\n", ""))
    main_set = next(s for s in sets if s[0] == "main")
    asked = [op for op in ops if op["request"] is not None]
    for op in asked:
        cmd = constant("vaultring-cmd-", op["name"])
        policy = "vaultring_" + op["name"].replace("-", "_") \
            if op["request"] else "void"
        print(f"sendmsg${cmd}(fd sock_nl_generic, msg ptr[in, "
              f"msghdr_vaultring[{cmd}, {policy}]], f flags[send_flags])")
    print()
    for op in asked:
        if op["request"]:
            write_policy("vaultring_" + op["name"].replace("-", "_"),
                         *main_set[1:], op["request"])
    for name, prefix, attributes in sets:
        if name != "main":
            write_policy("vaultring_" + name.replace("-", "_"), prefix,
                         attributes, [a["name"] for a in attributes])


def main():
    text = open(sys.argv[1], encoding="utf-8").read()
    sets = read_sets(text[text.index("\nattribute-sets:"):
                          text.index("\noperations:")].split("\n"))
    ops = read_operations(text[text.index("\noperations:"):
                               text.index("\nmcast-groups:")].split("\n"))
    if sys.argv[2:] == ["--syzkaller"]:
        write_syzkaller(sets, ops)
        return
    print("/* SPDX-License-Identifier: GPL-2.0-or-later */")
    print("/* Made by fuzz_table.py from uapi/vaultring.yaml */\n")
    # What is nested comes first.
    for entry in sorted(sets, key=lambda s: s[0] == "main"):
        write_set(*entry)
    write_operations(ops, next(s[1] for s in sets if s[0] == "main"))


if __name__ == "__main__":
    main()
