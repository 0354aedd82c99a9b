// Tabs whose buttons are #tab-NAME and whose panels are #panel-NAME.

export function connectTabs(names) {
  const tabs = { chosen: names[0], choose };
  const buttons = names.map((name) => document.getElementById(`tab-${name}`));

  function choose(name) {
    tabs.chosen = name;
    for (const [index, one] of names.entries()) {
      buttons[index].setAttribute("aria-selected", String(one === name));
      buttons[index].tabIndex = one === name ? 0 : -1;
      document.getElementById(`panel-${one}`).hidden = one !== name;
    }
  }

  for (const [index, button] of buttons.entries()) {
    button.addEventListener("click", () => choose(names[index]));
    button.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = (index + step + names.length) % names.length;
      choose(names[next]);
      buttons[next].focus();
    });
  }
  return tabs;
}
