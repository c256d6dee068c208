"""Tests of the tools in this directory: each mistake that they are there to find is found.

    python3 -m unittest discover --start-directory scripts/docs
"""

import contextlib
import io
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import built
import links
import markdown
import outside
import schema
import tutorial
import words
from sections import sections
from shell import Shell, ShellEnded


class Markdown(unittest.TestCase):
    def test_code_and_comments_hold_no_links(self):
        text = "[a](a.md) `[b](b.md)`\n\n    [c](c.md)\n\n```\n[d](d.md)\n```\n<!-- [e](e.md)\n[f](f.md) --> [g\nh](h.md) ![i](i.svg)\n\n- x\n\n    [j](j.md)\n"
        self.assertEqual([target for _, target in markdown.links(text)], ["a.md", "h.md", "i.svg", "j.md"])
        self.assertEqual([line for line, _ in markdown.links(text)], [1, 10, 10, 14])

    def test_anchors_are_those_that_github_and_mdbook_make(self):
        text = "# What `kubectl get` shows\n## Get, set & go\n## Get, set & go\n### `spec.columns[]`\n## [Link](x.md) *here*\n```\n# no heading\n```\n<a id=\"own\"></a>\n"
        expected = {"what-kubectl-get-shows", "get-set--go", "get-set--go-1", "speccolumns", "link-here", "own"}
        self.assertEqual(markdown.anchors(text), expected)


class Links(unittest.TestCase):
    def check(self, files):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, encoding="utf-8")
            pages = sorted(Path(path) for path in files if path.endswith(".md"))
            return links.check_links(root, pages)[0] + links.check_summary(root, pages)

    def test_links_that_hold_are_no_problem(self):
        files = {
            "README.md": "[x](docs/x.md#a-b) [y](https://example.com/nowhere) [z](main.rs#L3)",
            "main.rs": "",
            "docs/SUMMARY.md": "- [X](x.md)\n",
            "docs/x.md": "# A b\n[up](../README.md) [self](#a-b)",
        }
        self.assertEqual(self.check(files), [])

    def test_each_mistake_is_named_with_its_line(self):
        files = {
            "README.md": "\n[x](docs/y.md)\n[x](docs/x.md#c)\n[x](/docs/x.md) [x](../away.md) [x](main.rs#a)",
            "main.rs": "",
            "docs/SUMMARY.md": "- [X](x.md)\n- [X](x.md)\n- [Y](y.md)\n",
            "docs/x.md": "# A b\n",
            "docs/orphan.md": "# O\n",
        }
        found = self.check(files)
        for start in ("README.md:2: docs/y.md: there is no docs/y.md", "README.md:3: docs/x.md#c: docs/x.md has no heading #c", "README.md:4: /docs/x.md: begins",
                      "README.md:4: ../away.md: leads out", "README.md:4: main.rs#a: main.rs is no page", "docs/SUMMARY.md:2: x.md is there twice",
                      "docs/SUMMARY.md:3: y.md: there is no", "docs/orphan.md:1: it is not in"):
            self.assertTrue(any(problem.startswith(start) for problem in found), f"{start} is not among {found}")
        self.assertEqual(len(found), 8, found)

    def test_pages_that_sources_name_must_be_there(self):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            (root / "docs").mkdir()
            (root / "docs/there.md").write_text("# T\n")
            (root / "main.rs").write_text("// docs/there.md, docs/gone.md, https://example.com/docs/away.md\n")
            git = ["git", "-C", name, "-c", "user.name=t", "-c", "user.email=t@example.com"]
            subprocess.run([*git, "init", "--quiet"], check=True)
            subprocess.run([*git, "add", "."], check=True)
            self.assertEqual(links.check_mentions(root), ["main.rs:1: docs/gone.md: there is no docs/gone.md"])


class Built(unittest.TestCase):
    def test_a_link_or_an_anchor_that_leads_nowhere_is_found(self):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            (directory / "index.html").write_text('<h1 id="a">A</h1><a href="#a"></a><a href="b.html#c"></a>\n<img src="d.svg"><a href="https://x/"></a>')
            (directory / "b.html").write_text('<p id="b"></p><a href="index.html#a"></a>')
            expected = ["index.html:1: b.html#c: b.html has no element of that name", "index.html:2: d.svg: there is no d.svg"]
            self.assertEqual(list(built.problems(directory)), expected)


class Outside(unittest.TestCase):
    def test_only_links_that_leave_the_book_are_changed(self):
        text = "[a](../deploy) [`deploy/x.yaml`](../deploy/x.yaml) [in](../docs/y.md) [b](c.md)"
        self.assertEqual(outside.rewritten(text, "x.md", "docs"), "a (`deploy`) `deploy/x.yaml` [in](../docs/y.md) [b](c.md)")
        self.assertEqual(outside.rewritten("[up](../x.md) [a](../../deploy)", "how-to/y.md", "docs"), "[up](../x.md) a (`deploy`)")

    def test_links_to_a_readme_of_the_book_lead_to_what_mdbook_makes_of_it(self):
        text = "[a](runbooks/README.md) [b](README.md#x) [c](../../README.md) [d](https://x/README.md)"
        expected = "[a](runbooks/index.md) [b](index.md#x) c (`README.md`) [d](https://x/README.md)"
        self.assertEqual(outside.rewritten(text, "how-to/y.md", "docs"), expected)


class Words(unittest.TestCase):
    def test_another_spelling_is_found_in_prose_alone(self):
        text = "Its behavior, `color`, [x](color.md) on github and GitHub.\n\n    filesystem\n\nA data\nset, license-free, color_x.\n"
        self.assertEqual(list(words.problems(text)), [(1, "'behavior' is written behaviour"), (1, "'github' is written GitHub")])


class Schema(unittest.TestCase):
    def test_a_field_is_a_row_with_its_type_default_and_bounds(self):
        node = {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "description": "The <name>", "minLength": 1, "maxLength": 63, "pattern": "^(a|b)$"},
            "list": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}, "maxItems": 9},
            "mode": {"enum": ["A", "B"], "type": "string", "default": "A"},
            "rate": {"type": ["number", "null"], "exclusiveMinimum": 0.0, "maximum": 1.0},
            "any": True,
        }}
        self.assertEqual(schema.fields(node, lambda _, word: word).splitlines()[2:], [
            "| `name` | string, **required** |  | The &lt;name>. At most 63 characters. Matches `^(a\\|b)$`. |",
            "| `any` | any value |  |  |",
            "| `list` | list of integer |  | At most 9 entries. Each 0 to 2^53 − 1. |",
            '| `mode` | string | `"A"` | One of `A`, `B`. |',
            "| `rate` | number |  | Above 0, up to 1. |",
        ])

    def test_described_objects_have_sections_and_kubernetes_own_do_not(self):
        inner = {"type": "object", "description": "Inner.", "properties": {"x": {"type": "string", "description": "X."}},
                 "x-kubernetes-validations": [{"rule": "true", "message": "x must be"}]}
        foreign = {"type": "object", "description": "Foreign.", "properties": {"y": {"type": "string"}}}
        node = {"type": "object", "properties": {"inner": {"type": "array", "items": inner}, "foreign": foreign}}
        found = sections("spec", node, 2)
        self.assertEqual([text.splitlines()[0] for text in found], ["## `spec`", "### `spec.inner[]`"])
        self.assertIn("| `inner` | list of [object](#specinner) |", found[0])
        self.assertIn("| `foreign` | object |", found[0])
        self.assertTrue(found[1].endswith("refused, in these words:\n\n- x must be"))


class Tutorial(unittest.TestCase):
    def follow(self, text):
        """Runs a page in a shell without programs of ours."""
        with tempfile.TemporaryDirectory() as name, Shell(name, dict(os.environ)) as shell:
            found, left_out = tutorial.steps(text)
            with contextlib.redirect_stdout(io.StringIO()):
                return tutorial.run(found, shell), left_out

    def refused(self, text):
        with self.assertRaises(tutorial.PageError) as refused:
            self.follow(text)
        return refused.exception.line, str(refused.exception)

    def test_a_page_that_tells_the_truth_passes(self):
        text = ("<!-- file: a/b.txt -->\n```yaml\nx: 1\n```\n\n```console\n$ cat a/b.txt\nx: 1\n$ cd a; A=2; \\\n> B=3\n$ echo $A$B; ls; printf c\n23\n…\nc\n$ echo it took 3.5 s\nit took … s\n"
                "$ echo no >&2; (exit 4)\nno\n[exit code 4]\n```\n\n<!-- not run: slow -->\n```sh\nsleep 9999\n```\n\n<!-- in the checkout -->\n```console\n$ ls Makefile; WHERE=$PWD\nMakefile\n```\n"
                "\n<!-- file: c.txt -->\n```text\n```\n\n```console\n$ ls; test -f $WHERE/Makefile\nb.txt\nc.txt\n```\n")
        self.assertEqual(self.follow(text), (7, [(24, "slow")]))

    def test_each_mistake_is_named_with_its_line(self):
        line, said = self.refused("```console\n$ true\n$ echo b\na\n```\n")
        self.assertEqual(line, 3)
        self.assertIn("printed\n    b\n", said)
        line, said = self.refused("```console\n$ (exit 3)\n```\n")
        self.assertEqual((line, said.splitlines()[0]), (2, "`(exit 3)` ended with 3, not 0; it printed:"))
        self.assertEqual(self.refused("```console\n$ true\n[exit code 1]\n```\n")[0], 2)
        self.assertEqual(self.refused("```console\n$ printf 'a\\nb\\n'\na\n```\n")[0], 2)
        self.assertIn("begins with a command", self.refused("```console\nhello\n```\n")[1])
        self.assertIn("is a `console` block", self.refused("```sh\nls\n```\n")[1])
        self.assertIn("means nothing", self.refused("<!-- no run -->\n```console\n$ ls\n```\n")[1])
        self.assertIn("ended the shell", self.refused("```console\n$ exit 0\n```\n")[1])

    def test_a_command_that_does_not_end_is_given_up(self):
        with tempfile.TemporaryDirectory() as name, Shell(name, dict(os.environ)) as shell:
            with self.assertRaisesRegex(ShellEnded, "took too long; so far it printed:\nhello"):
                shell.run("echo hello; sleep 60", 0.5)


if __name__ == "__main__":
    unittest.main()
