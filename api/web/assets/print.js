// On paper no part of a section is folded and every picture is there; afterwards the page is as before.

const folded = new Set();

addEventListener("beforeprint", () => {
  for (const image of document.querySelectorAll("img[loading=lazy]")) image.loading = "eager";
  for (const part of document.querySelectorAll("section details:not([open])")) {
    folded.add(part);
    part.open = true;
  }
});

addEventListener("afterprint", () => {
  for (const part of folded) part.open = false;
  folded.clear();
});
