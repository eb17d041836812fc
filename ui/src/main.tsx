import { createRoot } from "react-dom/client";
import { App } from "./App";
import { connect } from "./state/store";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/frame.css";
import "./styles/explore.css";
import "./styles/dock.css";
import "./styles/gallery.css";
import "./styles/record.css";
import "./styles/compare.css";
import "./styles/jobs.css";
import "./styles/studies.css";

connect(window);
createRoot(document.getElementById("page")!).render(<App />);
