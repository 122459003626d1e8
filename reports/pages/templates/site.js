"use strict";
(() => {
  const make = (name, text, attributes) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    return made;
  };

  const filter = form => {
    const rows = [...document.getElementById(form.dataset.for).tBodies[0].rows];
    const texts = new Map(rows.map(row => [row, `${row.innerText} ${row.dataset.more}`.toLowerCase()]));
    const apply = () => {
      const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const { state, family } = form.elements;
      let shown = 0;
      for (const row of rows) {
        const fits = (!state.value || row.dataset.state === state.value) && (!family.value || row.dataset.family === family.value);
        row.hidden = !(fits && words.every(word => texts.get(row).includes(word)));
        shown += !row.hidden;
      }
      form.querySelector("output").textContent = `${shown} of ${rows.length} shown`;
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", event => event.preventDefault());
    form.hidden = false;
    apply();
  };

  const sortable = table => {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = make("button", heading.textContent, { type: "button" });
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const numeric = heading.classList.contains("num");
        const keyed = [...table.tBodies[0].rows].map(row => {
          const text = row.cells[column].textContent.trim();
          return [numeric ? Number.parseFloat(text) : text, row];
        });
        const unknown = key => numeric ? Number.isNaN(key) : key === "-";
        keyed.sort(([a], [b]) => {
          if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
          const order = numeric ? a - b : a < b ? -1 : a > b ? 1 : 0;
          return up ? order : -order;
        });
        table.tBodies[0].append(...keyed.map(([, row]) => row));
      });
    });
  };

  const table = (heading, names, rows) => {
    const made = make("table"), head = make("tr"), body = make("tbody"), box = make("div", undefined, { class: "scroll", tabindex: "0", role: "region", "aria-label": heading });
    for (const name of names) head.append(make("th", name, { scope: "col" }));
    for (const [key, left, right] of rows) {
      const row = make("tr", undefined, left === right ? {} : { class: "differs" });
      row.append(make("th", key, { scope: "row" }), make("td", left), make("td", right));
      body.append(row);
    }
    const top = make("thead");
    top.append(head);
    made.append(top, body);
    box.append(made);
    return [make("h2", heading), box];
  };

  const merged = (left, right) => [...new Set([...Object.keys(left), ...Object.keys(right)])].map(key => [key, ...[left, right].map(side => Object.hasOwn(side, key) ? side[key] : "-")]);

  const swatch = number => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS(svg.namespaceURI, "path");
    svg.setAttribute("viewBox", "0 0 26 10");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("class", `line s${number}`);
    path.setAttribute("d", "M0 5H26");
    svg.append(path);
    return svg;
  };

  const drawing = (names, curves) => {
    const days = curves.flatMap(curve => curve.map(point => Date.parse(point[0])));
    const values = curves.flatMap(curve => curve.map(point => point[1])).concat(0);
    const [first, last, low, high] = [Math.min(...days), Math.max(...days), Math.min(...values), Math.max(...values)];
    const right = window.innerWidth < 640 ? 350 : 870;
    const x = day => 60 + (right - 60) * (Date.parse(day) - first) / (last - first || 1);
    const y = value => 270 - 240 * (value - low) / (high - low || 1);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const add = (name, attributes, text) => {
      const made = document.createElementNS(svg.namespaceURI, name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      if (text !== undefined) made.textContent = text;
      svg.append(made);
    };
    svg.setAttribute("viewBox", `0 0 ${right + 10} 300`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Cumulative net return out of sample of ${names.join(" and ")}`);
    for (const value of [low, 0, high]) {
      add("line", { class: value === 0 ? "zero" : "grid", x1: 60, x2: right, y1: y(value), y2: y(value) });
      add("text", { class: "end", x: 54, y: y(value) + 4 }, `${(100 * value).toFixed(1)} %`);
    }
    add("text", { x: 60, y: 292 }, new Date(first).toISOString().slice(0, 10));
    add("text", { class: "end", x: right, y: 292 }, new Date(last).toISOString().slice(0, 10));
    curves.forEach((curve, number) => add("polyline", { class: `line s${number + 1}`, points: curve.map(([day, value]) => `${x(day).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }));
    return svg;
  };

  const growth = (names, chosen) => {
    const found = names.map((name, number) => [name, chosen[number].curve]).filter(([, curve]) => curve.length > 1);
    const missing = names.filter((_, number) => chosen[number].curve.length < 2).map(name => make("p", `${name}: no returns out of sample in its reports.`));
    if (!found.length) return [make("h2", "Cumulative net return, costs x1"), ...missing];
    const legend = make("ul", undefined, { class: "legend" });
    found.forEach(([name], number) => {
      const entry = make("li");
      entry.append(swatch(number + 1), name);
      legend.append(entry);
    });
    return [make("h2", "Cumulative net return, costs x1"), legend, drawing(found.map(each => each[0]), found.map(each => each[1])), ...missing];
  };

  const compare = form => {
    const data = JSON.parse(document.getElementById("data").textContent);
    const target = document.getElementById("compared"), told = form.querySelector("output");
    const apply = () => {
      const names = [form.elements.left.value.trim(), form.elements.right.value.trim()];
      const unknown = names.filter(name => !Object.hasOwn(data, name));
      target.replaceChildren();
      told.textContent = unknown.length ? (names.every(Boolean) ? `no such tag: ${unknown.join(", ")}` : "choose two tags") : "";
      if (unknown.length) return;
      const [left, right] = names.map(name => data[name]);
      const changed = merged(left.config, right.config).filter(([, a, b]) => a !== b);
      history.replaceState(null, "", `#${names.map(encodeURIComponent).join("&")}`);
      target.append(...table("Standing", ["of the tag", ...names], merged(left.facts, right.facts)));
      if (changed.length) target.append(...table("Configuration that differs", ["key", ...names], changed));
      else target.append(make("h2", "Configuration that differs"), make("p", "Nothing differs."));
      target.append(...growth(names, [left, right]), ...table("Gates at their worst cell", ["gate", ...names], merged(left.gates, right.gates)));
    };
    form.addEventListener("change", apply);
    form.addEventListener("submit", event => { event.preventDefault(); apply(); });
    location.hash.slice(1).split("&").slice(0, 2).forEach((name, number) => {
      try { form.elements[number ? "right" : "left"].value = decodeURIComponent(name); } catch (error) { if (!(error instanceof URIError)) throw error; }
    });
    form.hidden = false;
    apply();
  };

  document.querySelectorAll("form[data-for]").forEach(filter);
  document.querySelectorAll("table[data-sortable]").forEach(sortable);
  document.querySelectorAll("form#compare").forEach(compare);
})();
