// Hands on the stage: drag, pinch, wheel, and keys. One finger or the primary button belongs to the tool where there is one.

import type { At } from "./handle";
import type { AtlasScene } from "./scene";

const CLICK = 5; // pixels that a press may move and still be a click

export function gestures(scene: AtlasScene, chooses: (at: { cell: number; patch: { x: number; y: number } } | null, step: number | null) => void): () => void {
  const { element } = scene;
  const fingers = new Map<number, { x: number; y: number }>();
  let press: { x: number; y: number; far: boolean; tool: boolean; turns: boolean } | null = null;
  let spaced = false;

  const local = (event: { clientX: number; clientY: number }) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const at = (event: PointerEvent): At => {
    const { x, y } = local(event);
    const cell = scene.cellAt(x, y);
    return { x, y, cell, patch: cell && scene.patchAt(cell, x, y), shift: event.shiftKey, alt: event.altKey, meta: event.metaKey || event.ctrlKey, pressure: event.pressure };
  };
  const middle = () => {
    const all = [...fingers.values()];
    return { x: all.reduce((sum, each) => sum + each.x, 0) / all.length, y: all.reduce((sum, each) => sum + each.y, 0) / all.length };
  };
  const apart = () => {
    const [one, other] = [...fingers.values()];
    return one && other ? Math.hypot(one.x - other.x, one.y - other.y) : 0;
  };

  const down = (event: PointerEvent) => {
    if ((event.target as HTMLElement).closest("button, a, input, select, .atlas-over")) return;
    if (event.button > 1 && !scene.turned) return;
    element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    const place = local(event);
    fingers.set(event.pointerId, place);
    if (fingers.size > 1) {
      // A second finger makes a pinch of it.
      if (press?.tool) scene.tool?.cancel();
      press = null;
      return;
    }
    const tool = scene.tool !== null && event.button === 0 && !spaced && !scene.turned;
    press = { ...place, far: false, tool, turns: scene.turned !== null && event.button === 0 && !event.shiftKey };
    if (tool) scene.tool!.down(at(event));
    scene.point(null);
  };

  const move = (event: PointerEvent) => {
    const place = local(event);
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse" || event.pointerType === "pen") {
        const found = scene.pick(place.x, place.y);
        scene.point(found && { cell: found.cell.index, patch: found.patch });
        if (scene.tool) scene.redraw();
      }
      return;
    }
    if (press?.tool) {
      const samples = event.getCoalescedEvents?.() ?? [];
      for (const sample of samples.length ? samples : [event]) scene.tool?.move(at(sample));
      fingers.set(event.pointerId, place);
      scene.redraw();
      return;
    }
    const [was, wide] = [middle(), apart()];
    fingers.set(event.pointerId, place);
    const now = middle();
    if (press && !press.far && Math.hypot(place.x - press.x, place.y - press.y) < CLICK) return;
    if (press && !press.far) {
      press.far = true;
      element.dataset.moving = "";
    }
    const angles = scene.turned;
    if (press?.turns && angles && fingers.size === 1) {
      scene.turn({ yaw: angles.yaw + (now.x - was.x) * 0.006, pitch: angles.pitch + (now.y - was.y) * 0.006 });
      return;
    }
    scene.pan(now.x - was.x, now.y - was.y);
    const spread = apart();
    if (wide > 0 && spread > 0) scene.zoom(spread / wide, now, false);
  };

  const up = (event: PointerEvent) => {
    if (!fingers.delete(event.pointerId)) return;
    delete element.dataset.moving;
    const ended = press;
    press = null;
    if (!ended) return;
    if (ended.tool) {
      if (event.type === "pointercancel") scene.tool?.cancel();
      else scene.tool?.up(at(event));
      scene.redraw();
    } else if (!ended.far && event.type === "pointerup" && event.button === 0) {
      const { x, y } = local(event);
      const found = scene.pick(x, y);
      chooses(found && { cell: found.cell.index, patch: found.patch }, found?.step ?? null);
    }
  };

  const twice = (event: MouseEvent) => {
    if (scene.tool || scene.turned || (event.target as HTMLElement).closest("button, a, .atlas-over")) return;
    const { x, y } = local(event);
    const found = scene.pick(x, y);
    if (found) scene.goTo(found.cell, found.patch);
    else scene.fit();
  };

  const wheel = (event: WheelEvent) => {
    if ((event.target as HTMLElement).closest(".atlas-over")) return;
    event.preventDefault();
    const line = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 240 : 1;
    if (event.shiftKey) return scene.pan(-(event.deltaX || event.deltaY) * line, 0);
    const by = Math.max(-240, Math.min(240, event.deltaY * line)) * (event.ctrlKey ? 4 : 1);
    scene.zoom(Math.exp(-by * 0.0022), local(event), !event.ctrlKey);
  };

  const leave = () => scene.point(null);
  const menu = (event: Event) => scene.turned && event.preventDefault();
  const space = (event: KeyboardEvent) => {
    if (event.key === " " && document.activeElement === element) spaced = event.type === "keydown";
    if (event.type === "keyup" && event.key === " ") spaced = false;
  };

  const listened: [string, (event: never) => void, AddEventListenerOptions?][] = [
    ["pointerdown", down], ["pointermove", move], ["pointerup", up], ["pointercancel", up], ["pointerleave", leave],
    ["dblclick", twice], ["wheel", wheel, { passive: false }], ["contextmenu", menu],
  ];
  for (const [name, listener, options] of listened) element.addEventListener(name, listener as EventListener, options);
  window.addEventListener("keydown", space);
  window.addEventListener("keyup", space);
  return () => {
    for (const [name, listener] of listened) element.removeEventListener(name, listener as EventListener);
    window.removeEventListener("keydown", space);
    window.removeEventListener("keyup", space);
  };
}
