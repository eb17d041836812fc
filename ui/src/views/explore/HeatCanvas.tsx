// A canvas that a painter paints: again when its painting or its size changes.

import { useEffect, useRef } from "react";
import { painter, type Painter, type Painting } from "../../maps/heat";

export function HeatCanvas({ painting, className = "" }: { painting: Painting | null; className?: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const held = useRef<{ painter: Painter; painting: Painting | null } | null>(null);
  useEffect(() => {
    const element = canvas.current!;
    held.current ??= { painter: painter(element), painting: null };
    element.dataset.painter = held.current.painter.kind;
    const observer = new ResizeObserver(() => {
      if (held.current?.painting) held.current.painter.paint(held.current.painting);
    });
    observer.observe(element);
    const lost = (event: Event) => event.preventDefault();
    element.addEventListener("webglcontextlost", lost);
    return () => {
      observer.disconnect();
      element.removeEventListener("webglcontextlost", lost);
    };
  }, []);
  useEffect(() => {
    if (!held.current) return;
    held.current.painting = painting;
    if (painting) held.current.painter.paint(painting);
  }, [painting]);
  return <canvas ref={canvas} className={className} aria-hidden="true" style={{ visibility: painting ? "visible" : "hidden" }} />;
}
