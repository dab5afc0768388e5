// JupyterLab 4.6 ignores the entry "alt" in the metadata of a picture: this renderer gives it to the <img>.
// Written by hand as the container that JupyterLab expects of a prebuilt extension, so that nothing has to be built.
(() => {
  let shared;
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["course-alt"] = {
    init: scope => { shared = scope; },
    get: async () => {
      const rendermime = (await Object.values(shared["@jupyterlab/rendermime"])[0].get())();
      class ImageWithAlt extends rendermime.RenderedImage {
        async render(model) {
          await super.render(model);
          const alt = model.metadata[this.mimeType]?.alt, image = this.node.querySelector("img");
          if (alt && image) image.alt = alt;
        }
      }
      const rendererFactory = {
        safe: true,
        mimeTypes: ["image/png", "image/jpeg"],
        createRenderer: options => new ImageWithAlt(options),
      };
      const extension = { id: "course-alt:images", rendererFactory, rank: 0, dataType: "string" };
      return () => ({ __esModule: true, default: extension });
    },
  };
})();
