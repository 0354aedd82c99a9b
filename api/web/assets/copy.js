// Buttons with data-copy-from copy a table of the service, as the link of the same format downloads it.

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy-from]");
  if (button) copy(button);
});

// Browsers offer the clipboard only over https and on localhost; the links work everywhere.
async function copy(button) {
  const message = button.closest(".table-links").querySelector("[role=status]");
  try {
    if (!navigator.clipboard) throw new Error("browsers copy only over https and on localhost; use the link");
    const response = await fetch(button.dataset.copyFrom);
    if (!response.ok) throw new Error(`the service answered ${response.status}`);
    await navigator.clipboard.writeText(await response.text());
    message.textContent = "Copied.";
  } catch (error) {
    message.textContent = `Not copied: ${error.message}.`;
  }
}
