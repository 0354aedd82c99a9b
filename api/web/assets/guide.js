// Close the list of pages on a narrow screen. Runs before the page is drawn, so that nothing moves.

if (window.matchMedia("(max-width: 50rem)").matches) document.getElementById("guide-pages").open = false;
