"use strict";
// A layer of many points, of rings, or of lines. deck.gl's own draw four corners a point in double precision, which a
// machine without a graphics card does not bear: one vertex a point takes a thirtieth of the time there.

const REACH = 6; // pixels from the pointer to a point that is meant

function pointsLayer() {
  const vertex = (size) => `#version 300 es
    in vec3 positions;
    in vec4 colors;
    out vec4 fill;
    void main() {
      gl_Position = project_position_to_clipspace(positions, vec3(0.0), vec3(0.0));
      gl_PointSize = ${size.toFixed(2)};
      fill = colors;
    }`;
  // Of a ring, all within its width is left open.
  const fragment = (size, ring) => `#version 300 es
    precision highp float;
    in vec4 fill;
    out vec4 color;
    void main() {
      float edge = length(2.0 * gl_PointCoord - 1.0);
      float inside = ${(ring ? 1 - (2 * ring) / size : -1).toFixed(4)};
      float soft = ${(2 / size).toFixed(4)};
      float share = smoothstep(1.0, 1.0 - soft, edge) * smoothstep(inside - soft, inside, edge);
      color = vec4(fill.rgb, fill.a * share);
      if (color.a == 0.0) discard;
    }`;
  const plain = `#version 300 es
    precision highp float;
    in vec4 fill;
    out vec4 color;
    void main() { color = fill; }`;
  return class Points extends deck.Layer {
    static layerName = "Points";

    initializeState() {
      const attributes = this.getAttributeManager();
      attributes.remove(["instancePickingColors"]);
      attributes.add({
        positions: { size: 3, type: "float32", accessor: "getPosition" },
        colors: { size: 4, type: "unorm8", accessor: "getFillColor" },
      });
      const [size, ring] = [2 * this.props.radius * devicePixelRatio, this.props.ring * devicePixelRatio];
      const { id, topology } = this.props;
      const fs = topology === "point-list" ? fragment(size, ring) : plain;
      const shaders = this.getShaders({ vs: vertex(size), fs, modules: [deck.project32] });
      const bufferLayout = attributes.getBufferLayouts();
      this.setState({
        model: new luma.Model(this.context.device, { ...shaders, id, bufferLayout, topology, isInstanced: false }),
      });
    }

    draw() {
      this.state.model.setVertexCount(this.props.data.length);
      this.state.model.draw(this.context.renderPass);
    }
  };
}

// The patch under the pointer, the nearest of those within reach; -1 where there is none.
function patchAt(panel, x, y) {
  const viewport = panel.deck.getViewports()[0];
  if (!viewport || !panel.packed) return -1;
  const [east, north] = viewport.unproject([x, y]);
  const { rows, positions, length } = panel.packed;
  let best = (REACH / viewport.scale) ** 2;
  let found = -1;
  for (let place = 0; place < length; place++) {
    const distance = (positions[3 * place] - east) ** 2 + (positions[3 * place + 1] - north) ** 2;
    if (distance <= best) {
      best = distance;
      found = rows[place];
    }
  }
  return found;
}
