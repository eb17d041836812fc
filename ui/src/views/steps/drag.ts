// Pressing and dragging along an axis: the share of its width at the pointer, 0 to 1.

import type { PointerEvent } from "react";

export function dragHandlers(onShare: (share: number) => void) {
  const tell = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    onShare(Math.max(0, Math.min(1 - 1e-9, (event.clientX - box.left) / box.width)));
  };
  return {
    onPointerDown: (event: PointerEvent) => {
      if (event.button !== 0) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      tell(event);
    },
    onPointerMove: (event: PointerEvent) => {
      if (event.buttons & 1 && event.currentTarget.hasPointerCapture(event.pointerId)) tell(event);
    },
  };
}
