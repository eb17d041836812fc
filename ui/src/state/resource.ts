// Something that is loaded, by a key: the last good value stays while the next one comes, so that nothing flickers.

import { useEffect, useState } from "react";

export interface Resource<T> {
  value: T | null;
  // The key that `value` belongs to: while another one loads, `value` is the older answer.
  key: string | null;
  error: Error | null;
  loading: boolean;
}

export function useResource<T>(key: string | null, load: () => Promise<T>): Resource<T> {
  const [state, setState] = useState<Resource<T>>({ value: null, key: null, error: null, loading: key !== null });
  useEffect(() => {
    if (key === null) {
      setState({ value: null, key: null, error: null, loading: false });
      return;
    }
    let wanted = true;
    setState((before) => ({ ...before, loading: true, error: null }));
    load().then(
      (value) => wanted && setState({ value, key, error: null, loading: false }),
      (error: unknown) =>
        wanted && setState({ value: null, key, error: error instanceof Error ? error : new Error(String(error)), loading: false }),
    );
    return () => {
      wanted = false;
    };
    // `load` is made anew at each render; the key says when it asks for something else.
  }, [key]);
  return state;
}
