/* SPDX-License-Identifier: Apache-2.0
 * Names and colours of the little worlds. Colours are reflectances or radiances in linear light,
 * chosen by eye. */
#include "scenes/scene.h"

const char *const tsr_shape_names[TSR_SHAPES] = {"sphere", "box", "cylinder", "cone", "torus"};
const char *const tsr_stuff_names[TSR_STUFFS] = {"rubber", "metal", "glass"};
const char *const tsr_bulk_names[TSR_BULKS] = {"small", "medium", "large"};
const char *const tsr_texture_names[TSR_TEXTURES] = {"plain", "checkered", "striped"};

const tsr_paint tsr_scene_paints[TSR_SCENE_COLOURS] = {
    {"red", {0.68, 0.035, 0.03}, {0.86, 0.72, 0.60}},
    {"orange", {0.90, 0.26, 0.02}, {0.92, 0.82, 0.66}},
    {"yellow", {0.90, 0.66, 0.04}, {0.20, 0.13, 0.05}},
    {"green", {0.05, 0.38, 0.06}, {0.72, 0.82, 0.58}},
    {"cyan", {0.03, 0.58, 0.62}, {0.88, 0.92, 0.90}},
    {"blue", {0.03, 0.10, 0.62}, {0.66, 0.78, 0.90}},
    {"purple", {0.24, 0.05, 0.48}, {0.80, 0.70, 0.88}},
    {"pink", {0.92, 0.30, 0.48}, {0.96, 0.86, 0.86}},
    {"brown", {0.20, 0.085, 0.03}, {0.70, 0.52, 0.34}},
    {"white", {0.86, 0.86, 0.84}, {0.16, 0.17, 0.19}},
};

const tsr_ground tsr_scene_grounds[TSR_SCENE_GROUNDS] = {
    {"grass", TSR_TEXTURE_PLAIN, 0, 1.0, 0, 0.17, {0.15, 0.26, 0.06}, {0.15, 0.26, 0.06}},
    {"sand", TSR_TEXTURE_PLAIN, 0, 1.0, 0, 0.08, {0.56, 0.43, 0.27}, {0.56, 0.43, 0.27}},
    {"concrete", TSR_TEXTURE_PLAIN, 2, 1.6, 0.012, 0.05, {0.36, 0.36, 0.35}, {0.36, 0.36, 0.35}},
    {"tiles", TSR_TEXTURE_CHECKER, 2, 0.9, 0, 0, {0.58, 0.55, 0.50}, {0.25, 0.27, 0.30}},
    {"planks", TSR_TEXTURE_STRIPES, 1, 0.42, 0, 0.05, {0.42, 0.25, 0.12}, {0.32, 0.18, 0.085}},
    {"carpet", TSR_TEXTURE_PLAIN, 1, 1.0, 0, 0.05, {0.30, 0.15, 0.14}, {0.30, 0.15, 0.14}},
};

const tsr_sky tsr_scene_skies[TSR_SCENE_SKIES] = {
    {"clear blue", {0.10, 0.25, 0.66}, {0.62, 0.76, 0.92}, {2.9, 2.7, 2.35}, 35, 65, 0.020},
    {"hazy", {0.34, 0.46, 0.62}, {0.80, 0.80, 0.76}, {2.1, 1.95, 1.7}, 30, 60, 0.045},
    {"overcast", {0.46, 0.50, 0.56}, {0.70, 0.73, 0.77}, {0.85, 0.86, 0.88}, 45, 75, 0.12},
    {"golden evening", {0.20, 0.26, 0.46}, {1.00, 0.62, 0.30}, {3.1, 2.0, 1.05}, 20, 34, 0.025},
    {"pink morning", {0.28, 0.30, 0.52}, {0.96, 0.62, 0.62}, {2.5, 1.8, 1.55}, 22, 38, 0.030},
};
