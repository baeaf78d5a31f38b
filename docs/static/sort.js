// Sort a table by a column when its heading is clicked: numbers first, the largest at the top.
document.addEventListener("click", (event) => {
  const heading = event.target.closest("th");
  const body = heading && heading.closest("table").tBodies[0];
  if (!body) return;
  const text = (row) => row.cells[heading.cellIndex].textContent.trim();
  const value = (row) => (isNaN(parseFloat(text(row))) ? -Infinity : parseFloat(text(row).replaceAll(",", "")));
  const rows = [...body.rows].sort((a, b) => value(b) - value(a) || text(a).localeCompare(text(b)));
  if (rows.every((row, index) => row === body.rows[index])) rows.reverse();
  body.append(...rows);
});
