/* SPDX-License-Identifier: ISC */
/* Looks words up in the page's index, which stands in pages.js as `weirPages`. */
(function () {
  const box = document.getElementById("search"), found = document.getElementById("found");
  const root = document.documentElement.dataset.root;
  const index = lunr(function () {
    this.ref("n"); this.field("title", { boost: 8 }); this.field("text");
    weirPages.forEach((page, n) => this.add({ n: n, title: page.title, text: page.text }));
  });
  function entry(page) {
    const li = document.createElement("li"), a = document.createElement("a");
    a.href = root + page.url; a.textContent = page.title; li.append(a);
    return li;
  }
  box.form.addEventListener("submit", event => event.preventDefault());
  box.addEventListener("input", function () {
    const words = box.value.toLowerCase().match(/[\w.]+/g) || [];
    const hits = !words.length ? [] : index.query(q => words.forEach(w => {
      q.term(w, { boost: 10 });
      q.term(w, { wildcard: lunr.Query.wildcard.TRAILING });
    }));
    found.replaceChildren(...hits.slice(0, 12).map(hit => entry(weirPages[hit.ref])));
  });
})();
