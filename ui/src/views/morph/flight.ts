// The camera that is flown: drag turns, a second finger (or Shift, or the right button) moves, wheel and pinch go nearer.

import { useEffect, type RefObject } from "react";
import { bounded } from "./film";
import { VIEW, type Camera } from "./motion";

type Fly = (camera: Camera, done: boolean) => void;

export function turned(camera: Camera, right: number, down: number): Camera {
  return bounded({ ...camera, yaw: camera.yaw - right, pitch: camera.pitch + down });
}

// Moved along the picture that the camera sees, in half heights of the recording's picture.
export function moved(camera: Camera, right: number, up: number): Camera {
  const { yaw, pitch, target: [x, y, z] } = camera;
  return bounded({
    ...camera,
    target: [
      x - right * Math.cos(yaw) + up * Math.sin(yaw) * Math.sin(pitch),
      y - up * Math.cos(pitch),
      z + right * Math.sin(yaw) + up * Math.cos(yaw) * Math.sin(pitch),
    ],
  });
}

export function useFlight(canvas: RefObject<HTMLCanvasElement | null>, now: () => Camera, fly: Fly, able: boolean): void {
  useEffect(() => {
    const element = canvas.current;
    if (!element || !able) return;
    const fingers = new Map<number, { x: number; y: number }>();
    const half = () => ({ x: mean("x"), y: mean("y") });
    const mean = (axis: "x" | "y") => [...fingers.values()].reduce((sum, each) => sum + each[axis], 0) / fingers.size;
    const spread = () => {
      const [one, other] = [...fingers.values()];
      return one && other ? Math.hypot(one.x - other.x, one.y - other.y) : 0;
    };
    const down = (event: PointerEvent) => {
      element.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    };
    const drag = (event: PointerEvent) => {
      if (!fingers.has(event.pointerId)) return;
      const [middle, apart] = [half(), spread()];
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const after = half();
      const [right, below] = [after.x - middle.x, after.y - middle.y];
      const size = element.clientHeight || 1;
      let camera = now();
      if (fingers.size > 1 || event.shiftKey || event.buttons === 2) {
        const pixel = (2 * Math.tan(VIEW / 2) * camera.distance) / size;
        camera = moved(camera, right * pixel, -below * pixel);
      } else {
        camera = turned(camera, (right / size) * 3, (below / size) * 3);
      }
      const wide = spread();
      if (apart > 0 && wide > 0) camera = bounded({ ...camera, distance: (camera.distance * apart) / wide });
      fly(camera, false);
    };
    const up = (event: PointerEvent) => {
      if (fingers.delete(event.pointerId) && fingers.size === 0) fly(now(), true);
    };
    let timer = 0;
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const camera = now();
      fly(bounded({ ...camera, distance: camera.distance * Math.exp(Math.min(Math.max(event.deltaY, -240), 240) * 0.0012) }), false);
      window.clearTimeout(timer);
      timer = window.setTimeout(() => fly(now(), true), 300);
    };
    const menu = (event: Event) => event.preventDefault();
    element.addEventListener("pointerdown", down);
    element.addEventListener("pointermove", drag);
    element.addEventListener("pointerup", up);
    element.addEventListener("pointercancel", up);
    element.addEventListener("wheel", wheel, { passive: false });
    element.addEventListener("contextmenu", menu);
    return () => {
      window.clearTimeout(timer);
      element.removeEventListener("pointerdown", down);
      element.removeEventListener("pointermove", drag);
      element.removeEventListener("pointerup", up);
      element.removeEventListener("pointercancel", up);
      element.removeEventListener("wheel", wheel);
      element.removeEventListener("contextmenu", menu);
    };
  }, [able, fly, now, canvas]);
}
