// Turns streamed text into paragraphs, lists, headings, emphasis and code, as DOM nodes, while it arrives.
// Each character is looked at once and nothing is drawn again, so an answer costs the same per chunk however long it is.
// The text is a stranger's: only the fixed tags below are ever made, all text goes in as text, and links stay text.

const TEXT_NODE_CHARS = 1024; // appending copies a text node; a short one keeps that cheap
const LIST_DEPTH_MAX = 5;
const INDENT_MAX = 12;
const INFO_MAX = 40; // the word after ```

// The beginning of a line that can still become a mark; it is held back until the next character tells.
const UNDECIDED = new RegExp(
  `^ {0,${INDENT_MAX}}(?:#{1,6}|[*+]|-+|\\d{1,3}[.)]?|\`{1,2}|\`{3,12}[^\`]{0,${INFO_MAX}})?$`,
);
const UNDECIDED_IN_CODE = new RegExp(`^ {0,${INDENT_MAX}}\`{0,12}$`);
const MARK = /^ *(?:(?<heading>#{1,6}) |(?<bullet>[-*+]) |(?<number>\d{1,3})[.)] |(?<quote>> ?))/;
const FENCE = /^ *(`{3,})[^`]*$/;
const RULE = /^ *-{3,} *$/;
const SPACE = /\s/;
const WORD = /[\p{L}\p{N}]/u;

export class Markdown {
  #root;
  #block = null; // the paragraph, item, heading or code that takes text; null between blocks
  #kind = ''; // of the block: paragraph, item, heading, quote, code
  #lists = []; // open lists, outermost first: { indent, ordered, list, item }
  #spans = []; // open emphasis and code spans: { mark, node }
  #tail = null; // the text node that grows
  #line = ''; // the held-back beginning of a line; null once the line is decided
  #run = ''; // a run of * or ` whose meaning depends on what follows
  #before = ' '; // the character before that run
  #fence = 0; // how many backticks opened the code block; 0 outside of one

  constructor(root) {
    this.#root = root;
  }

  write(text) {
    let at = 0;
    while (at < text.length) {
      if (this.#line !== null) at = this.#lineStart(text, at);
      else if (this.#fence) at = this.#codeText(text, at);
      else at = this.#inlineText(text, at);
    }
  }

  /** The answer is over: what was held back is shown as it stands. */
  end() {
    if (this.#line) this.#shortLine(this.#line);
    this.#endLine();
  }

  // ---- the beginning of a line

  #lineStart(text, at) {
    const char = text[at];
    if (char === '\n') {
      const line = this.#line;
      this.#line = '';
      this.#shortLine(line);
      this.#endLine();
      return at + 1;
    }
    this.#line += char;
    const undecided = this.#fence ? UNDECIDED_IN_CODE : UNDECIDED;
    if (!undecided.test(this.#line)) {
      const line = this.#line;
      this.#line = null;
      this.#openLine(line);
    }
    return at + 1;
  }

  /** A line that ended while it was still undecided. */
  #shortLine(line) {
    const fence = FENCE.exec(line);
    if (this.#fence) {
      if (fence && fence[1].length >= this.#fence) this.#endBlock();
      else this.#openLine(line);
    } else if (line.trim() === '') {
      this.#endBlock();
    } else if (fence) {
      this.#openCode(line, fence[1].length);
    } else if (RULE.test(line)) {
      this.#endBlock();
      this.#lists = [];
      this.#root.append(document.createElement('hr'));
    } else {
      this.#openLine(line);
    }
  }

  #openLine(line) {
    if (this.#fence) return this.#addText(this.#block.hasChildNodes() ? '\n' + line : line);
    const { heading, bullet, number, quote } = MARK.exec(line)?.groups ?? {};
    const indent = line.length - line.trimStart().length;
    const rest = line.replace(MARK, '');
    if (heading) {
      this.#lists = [];
      this.#openBlock('heading', 'h' + Math.min(heading.length + 2, 6), this.#root);
      this.#inline(rest);
    } else if (bullet || number) {
      this.#openItem(indent, number);
      this.#inline(rest);
    } else if (quote !== undefined) {
      if (this.#kind === 'quote') this.#addText('\n');
      else this.#openBlock('quote', 'blockquote', this.#root);
      this.#inline(rest);
    } else {
      if (this.#block && this.#kind !== 'heading') this.#addText('\n');
      else this.#openBlock('paragraph', 'p', this.#container(indent));
      this.#inline(this.#lists.length ? line.trimStart() : line);
    }
  }

  #openItem(indent, number) {
    const ordered = number !== undefined;
    this.#endBlock();
    while (this.#lists.length && this.#lists.at(-1).indent > indent) this.#lists.pop();
    let top = this.#lists.at(-1);
    if (top && top.indent === indent && top.ordered !== ordered) {
      this.#lists.pop();
      top = this.#lists.at(-1);
    }
    // An item that stands a little to the right of its list opens a list inside the last item.
    if (!top || (indent >= top.indent + 2 && this.#lists.length < LIST_DEPTH_MAX)) {
      const list = document.createElement(ordered ? 'ol' : 'ul');
      if (ordered) list.start = Number(number);
      (top?.item ?? this.#root).append(list);
      this.#lists.push({ indent, ordered, list, item: null });
      top = this.#lists.at(-1);
    }
    this.#openBlock('item', 'li', top.list);
    top.item = this.#block;
  }

  #openCode(line, backticks) {
    const indent = line.length - line.trimStart().length;
    const pre = document.createElement('pre');
    pre.tabIndex = 0; // so that the keyboard can scroll it sideways
    this.#container(indent).append(pre);
    this.#openBlock('code', 'code', pre);
    this.#fence = backticks;
  }

  /** Where a block without a mark of its own goes: indented ones belong to the last list item. */
  #container(indent) {
    if (this.#lists.length && indent >= 2) return this.#lists.at(-1).item;
    this.#lists = [];
    return this.#root;
  }

  #openBlock(kind, tag, parent) {
    this.#endBlock();
    this.#block = document.createElement(tag);
    this.#kind = kind;
    parent.append(this.#block);
  }

  #endBlock() {
    this.#endSpans();
    this.#block = null;
    this.#kind = '';
    this.#tail = null;
    this.#fence = 0;
  }

  // ---- the rest of a line

  #codeText(text, at) {
    const end = text.indexOf('\n', at);
    if (end === -1) {
      this.#addText(text.slice(at));
      return text.length;
    }
    this.#addText(text.slice(at, end));
    this.#line = '';
    return end + 1;
  }

  #inline(text) {
    let at = 0;
    while (at < text.length) at = this.#inlineText(text, at);
  }

  #inlineText(text, at) {
    const char = text[at];
    if (this.#run && char !== this.#run[0]) this.#resolve(char);
    if (char === '\n') {
      this.#endLine();
      this.#line = '';
      return at + 1;
    }
    if (char === '`' || (char === '*' && !this.#inCode())) {
      this.#run += char;
      return at + 1;
    }
    let end = at + 1;
    while (end < text.length && text[end] !== '\n' && text[end] !== '*' && text[end] !== '`') end += 1;
    this.#addText(text.slice(at, end));
    return end;
  }

  #endLine() {
    if (this.#run) this.#resolve(' ');
    this.#endSpans();
    if (this.#kind === 'heading') this.#endBlock();
  }

  /** What a run of * or ` is, now that the character after it is known. */
  #resolve(after) {
    const run = this.#run;
    this.#run = '';
    if (run[0] === '`') {
      if (!this.#inCode()) this.#openSpan('code', run);
      else if (this.#spans.at(-1).mark === run) this.#closeSpan();
      else this.#addText(run);
      return;
    }
    const top = this.#spans.at(-1);
    const closes = !SPACE.test(this.#before);
    const opens = !SPACE.test(after) && (run.length > 1 || !WORD.test(this.#before));
    const open = this.#spans.some((span) => span.mark === run);
    if (top?.mark === run && closes) this.#closeSpan();
    else if (run.length === 3 && this.#spans.length === 2 && closes) this.#closeSpan(), this.#closeSpan();
    else if (open || !opens || run.length > 3) this.#addText(run);
    else if (run.length === 3 && this.#spans.length === 0) this.#openSpan('strong', '**'), this.#openSpan('em', '*');
    else if (run.length === 3) this.#addText(run);
    else this.#openSpan(run.length === 2 ? 'strong' : 'em', run);
  }

  #inCode() {
    return this.#spans.at(-1)?.node.localName === 'code';
  }

  #openSpan(tag, mark) {
    const node = document.createElement(tag);
    this.#inside().append(node);
    this.#spans.push({ mark, node });
    this.#tail = null;
  }

  #closeSpan() {
    this.#spans.pop();
    this.#tail = null;
    this.#before = 'x'; // a closing mark counts as text for the mark after it
  }

  /** A line ended with marks that nothing closed: they were plain characters. */
  #endSpans() {
    while (this.#spans.length) {
      const { mark, node } = this.#spans.pop();
      node.before(mark);
      while (node.firstChild) node.before(node.firstChild);
      node.remove();
      this.#tail = null;
    }
    this.#before = ' ';
  }

  #inside() {
    return this.#spans.at(-1)?.node ?? this.#block;
  }

  #addText(text) {
    if (text === '') return;
    if (!this.#tail || this.#tail.length > TEXT_NODE_CHARS) {
      this.#tail = document.createTextNode('');
      this.#inside().append(this.#tail);
    }
    this.#tail.appendData(text);
    this.#before = text.at(-1);
  }
}
