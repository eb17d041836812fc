// A picture that changes with the steps: drawn at once from what is held decoded, else shown by its address. The muted one
// lies below a map: grey and pale, so that colours are the map's alone.

import { useEffect, useRef, type CSSProperties } from "react";
import type { Shot } from "../../state/previews";

export function Picture({ shot, address, alt, muted = false, style }: { shot: Shot | null; address: string; alt: string; muted?: boolean; style?: CSSProperties }) {
  if (shot?.picture) return <Drawn picture={shot.picture} muted={muted} alt={alt} style={style} />;
  return <img src={address} alt={alt} className={muted ? "behind" : undefined} style={style} fetchPriority="high" draggable={false} />;
}

function Drawn({ picture, muted, alt, style }: { picture: ImageBitmap; muted: boolean; alt: string; style?: CSSProperties }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return;
    if (element.width !== picture.width || element.height !== picture.height) Object.assign(element, { width: picture.width, height: picture.height });
    if (muted) context.putImageData(mutedData(picture), 0, 0);
    else context.drawImage(picture, 0, 0);
  }, [picture, muted]);
  const hidden = alt === "" ? { "aria-hidden": true as const } : { role: "img", "aria-label": alt };
  return <canvas ref={canvas} className="shot" style={style} {...hidden} />;
}

const muteds = new WeakMap<ImageBitmap, ImageData>();
const pen = () => new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })!;
let drawn: OffscreenCanvasRenderingContext2D | null = null;

// What CSS calls grayscale(1) contrast(0.65) brightness(1.2), worked out once for each picture: as a filter it would be
// worked out anew in every frame.
function mutedData(picture: ImageBitmap): ImageData {
  let found = muteds.get(picture);
  if (!found) {
    drawn ??= pen();
    Object.assign(drawn.canvas, { width: picture.width, height: picture.height });
    drawn.drawImage(picture, 0, 0);
    found = drawn.getImageData(0, 0, picture.width, picture.height);
    mute(found.data);
    muteds.set(picture, found);
  }
  return found;
}

export function mute(pixels: Uint8ClampedArray): void {
  for (let i = 0; i < pixels.length; i += 4) {
    const light = 0.2126 * pixels[i]! + 0.7152 * pixels[i + 1]! + 0.0722 * pixels[i + 2]!;
    pixels[i] = pixels[i + 1] = pixels[i + 2] = 1.2 * (0.65 * (light - 127.5) + 127.5);
  }
}
