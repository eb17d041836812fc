// A view that breaks says so, and the rest of the page stays.

import { Component, type ReactNode } from "react";
import { Failed } from "./controls";

export class Holding extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override componentDidMount() {
    window.addEventListener("hashchange", this.again);
  }

  override componentWillUnmount() {
    window.removeEventListener("hashchange", this.again);
  }

  private readonly again = () => this.setState({ error: null });

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <div className="page narrow">
        <Failed error={this.state.error} />
      </div>
    );
  }
}
