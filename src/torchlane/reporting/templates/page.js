"use strict";
(() => {
  const plots = [...document.querySelectorAll(".plot")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const config = {
    responsive: true, displayModeBar: false, showTips: false,
  };
  const printing = matchMedia("print");
  const colours = () => {
    const text = getComputedStyle(document.documentElement).getPropertyValue("--text").trim();
    const raised = getComputedStyle(document.documentElement).getPropertyValue("--raised").trim();
    return { "font.color": text, "hoverlabel.bgcolor": raised, "hoverlabel.font.color": text };
  };
  const draw = (plot) => {
    if (plot.dataset.drawn) return null;
    plot.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById(`data-${plot.dataset.of}`).textContent);
    const layout = figure.layout;
    const shown = colours();
    layout.font = { ...layout.font, family: getComputedStyle(document.body).fontFamily, color: shown["font.color"] };
    layout.hoverlabel = {
      ...layout.hoverlabel, bgcolor: shown["hoverlabel.bgcolor"], font: { color: shown["hoverlabel.font.color"] },
    };
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.autosize = true;
    delete layout.width;
    if (touch) layout.dragmode = false;
    return Plotly.newPlot(plot, figure.data, layout, config);
  };
  const recolour = () => {
    for (const plot of plots) if (plot.dataset.drawn) Plotly.relayout(plot, colours());
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "600px" });
  const unpack = async () => {
    const packed = Uint8Array.from(atob(document.querySelector("[data-plotly]").textContent), (each) => each.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  };
  unpack().then(() => {
    for (const plot of plots) seen.observe(plot);
  }, () => {
    for (const plot of plots) plot.textContent = "This browser is too old to draw the figures.";
  });
  dark.addEventListener("change", recolour);
  printing.addEventListener("change", recolour);
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details")) fold.open = true;
    if (window.Plotly) plots.forEach(draw);
    recolour();
  });
})();
