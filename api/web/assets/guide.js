// On a narrow screen the page comes before the list of all pages. Run where it stands, so that nothing jumps.

if (window.matchMedia("(max-width: 50rem)").matches) document.getElementById("guide-pages").open = false;
