/* SPDX-License-Identifier: ISC */
/* Looks words up in the pages' index, which stands in pages.js as `weirPages`: first what has all
 * words, and of that guides before the API, and the API before what is for maintainers. */
(function () {
  const box = document.getElementById("search"), found = document.getElementById("found");
  const root = document.documentElement.dataset.root, SHOWN = 12, OF_A_PAGE = 3, BEFORE = 40, AFTER = 110;
  const split = text => text.toLowerCase().split(/[^\w]+/).filter(word => word);
  const small = ("a an and are as at be by can do does for how i if in into is it my of on or so than that the there " +
    "they this to was what when where which who why with you your").split(" ");
  const weight = url => /^(index|doc\/guide)/.test(url) ? 4
    : /weir\.(event|thread|msys|worker)\b/.test(url) ? 1 // systems that few programs imitate
    : /^(api|source|doc\/lua|examples)/.test(url) ? 2 : 1;
  const known = text => split(text).filter(word => !small.includes(word));
  let index;

  function made() { // by the first use, because most visits have none
    return index = index || lunr(function () {
      this.tokenizer.separator = /[^\w]+/;
      this.pipeline.remove(lunr.stopWordFilter); // it would leave out get, all and any
      this.ref("n"); this.field("title", { boost: 8 }); this.field("text");
      weirPages.forEach((page, n) => this.add({ n: n, title: page.title, text: page.text }, { boost: weight(page.url) }));
    });
  }
  function scores(word, isLast) { // the last word may be half typed
    const hits = made().query(function (query) {
      query.term(word, { boost: 10 });
      if (isLast) query.term(word, { wildcard: lunr.Query.wildcard.TRAILING });
    });
    return new Map(hits.map(hit => [hit.ref, hit.score]));
  }
  function named(title, text) { // 2: it ends with a word, 1: within one
    const at = title.toLowerCase().indexOf(text);
    return at < 0 ? 0 : /\w/.test(title[at + text.length] || "") ? 1 : 2;
  }
  function look(text) {
    const sums = new Map(), seen = {}, words = known(text);
    words.map((word, n) => scores(word, n === words.length - 1)).forEach(function (list) {
      for (const [ref, score] of list) sums.set(ref, (sums.get(ref) || 0) + score + 1000); // all words before some
    });
    for (const [ref, sum] of sums) sums.set(ref, sum + 50 * named(weirPages[ref].title, text.trim().toLowerCase()));
    return [...sums].sort((a, b) => b[1] - a[1]).map(([ref]) => weirPages[ref]).filter(function (page) {
      const file = page.url.replace(/#.*/, "");
      return (seen[file] = (seen[file] || 0) + 1) <= OF_A_PAGE;
    }).slice(0, SHOWN);
  }
  function make(tag, text) {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  }
  function extract(text, words) {
    const at = words.map(word => text.toLowerCase().indexOf(word)).find(place => place >= 0) ?? 0;
    const from = at < BEFORE ? 0 : text.indexOf(" ", at - BEFORE) + 1;
    const cut = at + AFTER < text.length ? text.lastIndexOf(" ", at + AFTER) : text.length;
    return (from ? "… " : "") + text.slice(from, cut).trim() + (cut < text.length ? " …" : "");
  }
  function entry(page, words) {
    const li = document.createElement("li"), a = make("a", page.title);
    a.href = root + page.url;
    li.append(a, make("span", extract(page.text, words)));
    return li;
  }
  function show() {
    const hits = look(box.value), words = known(box.value);
    const none = words.length && !hits.length ? [make("li", "No page has " + box.value.trim() + ".")] : [];
    found.replaceChildren(...none, ...hits.map(page => entry(page, words)));
  }
  box.addEventListener("input", show);
  box.addEventListener("keydown", event => { if (event.key === "Escape") { box.value = ""; show(); } });
  box.form.addEventListener("submit", event => {
    event.preventDefault();
    const first = found.querySelector("a");
    if (first) first.click();
  });
})();
