// The draft of a new experiment: it survives a reload, and is not replaced without asking.

import { root } from "./service.js";

const KEY = `richregime:draft:${root}`;

export function createDraft(notice) {
  const [text, replace, keep] = ["draft-text", "draft-replace", "draft-keep"].map((id) => document.getElementById(id));
  let begun = "";
  let current = "";
  const draft = { earlier: read(), begin, save, restore, forget, mayReplace, tell };

  function read() {
    try {
      return JSON.parse(localStorage.getItem(KEY));
    } catch {
      return null; // the storage is switched off or holds something else: there is no draft
    }
  }

  // A body that the page filled in; it is no draft until it is edited.
  function begin(filled) {
    begun = current = filled;
    notice.hidden = true;
  }

  function save(edited) {
    current = edited;
    store(() => localStorage.setItem(KEY, JSON.stringify({ text: edited })));
  }

  function restore() {
    current = draft.earlier.text;
    begun = "";
    notice.hidden = true;
    return current;
  }

  function forget() {
    store(() => localStorage.removeItem(KEY));
  }

  // The page works without storage, which a browser may switch off or limit.
  function store(change) {
    try {
      change();
    } catch (error) {
      console.info(`The draft is not kept: ${error.message}`);
    }
  }

  function show(message, yes, no) {
    text.textContent = message;
    replace.textContent = yes;
    keep.textContent = no;
    notice.hidden = false;
  }

  // Whether an edited body may be replaced; asks the user.
  function mayReplace(message, yes, no) {
    if (current === begun) return Promise.resolve(true);
    show(message, yes, no);
    replace.focus();
    return new Promise((answer) => {
      replace.onclick = () => answer(close(true));
      keep.onclick = () => answer(close(false));
    });
  }

  function tell(message, action, act) {
    show(message, action, "Close");
    replace.onclick = () => {
      close();
      act();
    };
    keep.onclick = () => close();
  }

  function close(answer) {
    notice.hidden = true;
    return answer;
  }

  return draft;
}
