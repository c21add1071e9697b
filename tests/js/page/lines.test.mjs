import assert from "node:assert/strict";
import { test } from "node:test";

import { indexed } from "../../../aosui/web/page/ansi.js";
import { Lines, MAX_LINE, lineText } from "../../../aosui/web/page/lines.js";

/** The lines' texts after writing all pieces. */
function texts(...pieces) {
  const lines = new Lines();
  for (const piece of pieces) lines.write(piece);
  return lines.lines.map(lineText);
}

/** The spans of the first line as [text, classes, fg, bg]. */
function spans(...pieces) {
  const lines = new Lines();
  for (const piece of pieces) lines.write(piece);
  return lines.lines[0].spans.map(({ text, style }) =>
    [text, style.classes, style.fg, style.bg].filter((part, i) => i === 0 || part !== ""),
  );
}

test("line feeds end lines, with or without carriage return", () => {
  assert.deepEqual(texts("one\ntwo\r\nthree"), ["one", "two", "three"]);
  assert.deepEqual(texts("one\r", "\ntwo"), ["one", "two"]);
});

test("a carriage return overwrites the line, as a progress bar means it", () => {
  assert.deepEqual(texts("10%\r20%\r100%\ndone"), ["100%", "done"]);
  assert.deepEqual(texts("Loading...\r[OK]"), ["[OK]ing..."]);
  assert.deepEqual(texts("a long line\r\x1b[Kshort"), ["short"]);
  assert.deepEqual(texts("a long line\x1b[2K\rshort"), ["short"]);
  assert.deepEqual(texts("1%\r", "2%\r", "3%"), ["3%"]);
});

test("backspace goes back and the next character overwrites", () => {
  assert.deepEqual(texts("|\b/\b-"), ["-"]);
  assert.deepEqual(texts("\b\b\bx"), ["x"]);
});

test("an overwrite keeps the colours of what it leaves", () => {
  assert.deepEqual(spans("\x1b[31mredred\x1b[0m\rxx"), [["xx"], ["dred", "fg-1"]]);
});

test("colours and weights become classes", () => {
  assert.deepEqual(spans("\x1b[1;32mok\x1b[22m go\x1b[m."), [
    ["ok", "bold fg-2"],
    [" go", "fg-2"],
    ["."],
  ]);
  assert.deepEqual(spans("\x1b[2;3;4;9;95;104mall"), [
    ["all", "dim italic underline strike fg-13 bg-12"],
  ]);
  assert.deepEqual(spans("\x1b[7;31minverse"), [["inverse", "fg-canvas bg-1"]]);
  assert.deepEqual(spans("\x1b[7minverse"), [["inverse", "fg-canvas bg-ink"]]);
});

test("256 colours and true colours, with semicolons and with colons", () => {
  assert.deepEqual(spans("\x1b[38;5;9ma"), [["a", "fg-9"]]);
  assert.deepEqual(spans("\x1b[38;5;208ma"), [["a", "fg-own", "rgb(255 135 0)"]]);
  assert.deepEqual(spans("\x1b[48;2;1;2;300;1ma"), [["a", "bold bg-own", "rgb(1 2 255)"]]);
  assert.deepEqual(spans("\x1b[38:2::10:20:30ma"), [["a", "fg-own", "rgb(10 20 30)"]]);
  assert.deepEqual(spans("\x1b[58;5;1;4ma"), [["a", "underline"]]);
  assert.equal(indexed(255), "rgb(238 238 238)");
  assert.equal(indexed(256), null);
});

test("a sequence may be cut anywhere", () => {
  const whole = "a\x1b[1;38;5;208mb\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x07\x1b[0mc\rd";
  const expected = spans(whole);
  for (let cut = 0; cut <= whole.length; cut += 1) {
    assert.deepEqual(spans(whole.slice(0, cut), whole.slice(cut)), expected, `cut at ${cut}`);
  }
  assert.deepEqual(spans(...whole), expected);
});

test("every other sequence is dropped", () => {
  const dropped = [
    "\x1b]8;;javascript:alert(1)\x1b\\", // link
    "\x1b]52;c;aGFjaw==\x07", // clipboard
    "\x1b]0;title\x07", // title
    "\x1b]2;title\x9c",
    "\x1b[2J\x1b[H\x1b[10;20H\x1b[5A\x1b[?25l\x1b[?1049h", // cursor and screen
    "\x1b[6n\x1b[c\x1b[>c", // reports
    "\x1bP$q\x1b\\\x1b_hidden\x1b\\\x1b^x\x1b\\", // DCS, APC, PM
    "\x1b(B\x1b)0\x1b=\x1b>\x1bc\x1b7\x1b8\x1bM", // character sets and the like
    "\x9b31m\x9b0m\x9d0;title\x07\x85\x00\x07\x0e\x0f\x7f",
    "\x1b[>4;2m\x1b[?1m", // private sequences that end in m
  ];
  for (const sequence of dropped) {
    assert.deepEqual(texts(`a${sequence}b`), ["ab"], JSON.stringify(sequence));
  }
});

test("markup stays text", () => {
  const hostile = "<img src=x onerror=alert(1)><script>alert(1)</script>";
  assert.deepEqual(texts(hostile), [hostile]);
});

test("a control string that nobody ends hides no more than its line", () => {
  assert.deepEqual(texts("a\x1b]0;forever\nb\nc"), ["a", "b", "c"]);
  const long = `\x1b]0;${"x".repeat(10_000)}`;
  assert.equal(texts(long)[0].length > 0, true);
});

test("a line that is too long is shown as several", () => {
  const lines = new Lines();
  lines.write("x".repeat(MAX_LINE * 2 + 5));
  assert.deepEqual(lines.lines.map((line) => [line.length, line.wrapped]), [
    [MAX_LINE, true],
    [MAX_LINE, true],
    [5, false],
  ]);
});

test("of more lines than the cap the newest are held, and numbers go on", () => {
  const lines = new Lines(100);
  for (let i = 0; i < 1000; i += 1) lines.write(`${i}\n`);
  assert.ok(lines.lines.length <= 105);
  assert.equal(lines.end, 1001);
  assert.equal(lineText(lines.lines[0]), String(lines.first));
});

test("what changed is known by line number", () => {
  const lines = new Lines();
  lines.write("one\ntwo");
  assert.equal(lines.dirty, 0);
  lines.clean();
  assert.equal(lines.dirty, 2);
  lines.write("\rTWO");
  assert.equal(lines.dirty, 1);
});

test("a mark stands on a line of its own, and colours do not run over a cut", () => {
  const lines = new Lines();
  lines.write("\x1b[31mred");
  lines.cut();
  lines.mark({ kind: "gap", value: 1 });
  lines.write("plain");
  assert.deepEqual(lines.lines.map((line) => [line.mark?.kind ?? null, lineText(line)]), [
    [null, "red"],
    ["gap", ""],
    [null, "plain"],
  ]);
  assert.equal(lines.lines[2].spans[0].style.classes, "");
});

test("stderr and log are marked, and keep colours of their own", () => {
  const lines = new Lines();
  lines.write("\x1b[31mout ");
  lines.write("err ", "stderr");
  lines.write("out");
  assert.deepEqual(lines.lines[0].spans.map(({ text, style }) => [text, style.classes]), [
    ["out ", "fg-1"],
    ["err ", "stream-stderr"],
    ["out", "fg-1"],
  ]);
});
