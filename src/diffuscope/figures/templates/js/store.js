// One state, one way to change it; every view listens and repaints what depends on the keys that changed.

export function createStore(state) {
  const views = [];
  return {
    state,
    watch(keys, view) {
      views.push([keys, view]);
      view(state);
    },
    set(changes) {
      const changed = Object.keys(changes).filter((key) => state[key] !== changes[key]);
      if (!changed.length) return;
      Object.assign(state, changes);
      for (const [keys, view] of views) if (changed.some((key) => keys.includes(key))) view(state);
    },
  };
}

// An element with attributes and children; text goes in as text, never as markup.
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export const byId = (id) => document.getElementById(id);
