/* SPDX-License-Identifier: Apache-2.0
 * Colour conversions. */
#include "dsp/oklab.h"

#include <math.h>

double tsr_srgb_to_linear(double v)
{
    double a = fabs(v);
    double lin = a <= 0.04045 ? a / 12.92 : pow((a + 0.055) / 1.055, 2.4);
    return copysign(lin, v);
}

double tsr_linear_to_srgb(double v)
{
    double a = fabs(v);
    double enc = a <= 0.0031308 ? a * 12.92 : 1.055 * pow(a, 1 / 2.4) - 0.055;
    return copysign(enc, v);
}

static void product(const double m[9], const double v[3], double out[3])
{
    double x = v[0], y = v[1], z = v[2];
    for (int i = 0; i < 3; i++)
        out[i] = m[3 * i] * x + m[3 * i + 1] * y + m[3 * i + 2] * z;
}

/* Ottosson's matrices, revision of 2021-01-25. */
static const double rgb_to_lms[9] = {0.4122214708, 0.5363325363, 0.0514459929,
                                     0.2119034982, 0.6806995451, 0.1073969566,
                                     0.0883024619, 0.2817188376, 0.6299787005};
static const double lms_to_lab[9] = {0.2104542553, 0.7936177850,  -0.0040720468,
                                     1.9779984951, -2.4285922050, 0.4505937099,
                                     0.0259040371, 0.7827717662,  -0.8086757660};
static const double lab_to_lms[9] = {1, 0.3963377774,  0.2158037573,
                                     1, -0.1055613458, -0.0638541728,
                                     1, -0.0894841775, -1.2914855480};
static const double lms_to_rgb[9] = {4.0767416621,  -3.3077115913, 0.2309699292,
                                     -1.2684380046, 2.6097574011,  -0.3413193965,
                                     -0.0041960863, -0.7034186147, 1.7076147010};

void tsr_linear_to_oklab(const double rgb[3], double lab[3])
{
    double lms[3];
    product(rgb_to_lms, rgb, lms);
    for (int i = 0; i < 3; i++)
        lms[i] = cbrt(lms[i]);
    product(lms_to_lab, lms, lab);
}

void tsr_oklab_to_linear(const double lab[3], double rgb[3])
{
    double lms[3];
    product(lab_to_lms, lab, lms);
    for (int i = 0; i < 3; i++)
        lms[i] = lms[i] * lms[i] * lms[i];
    product(lms_to_rgb, lms, rgb);
}

static void rgb8_to_linear(const uint8_t rgb[3], double lin[3])
{
    for (int i = 0; i < 3; i++)
        lin[i] = tsr_srgb_to_linear(rgb[i] / 255.0);
}

void tsr_rgb8_to_oklab(const uint8_t rgb[3], double lab[3])
{
    double lin[3];
    rgb8_to_linear(rgb, lin);
    tsr_linear_to_oklab(lin, lab);
}

void tsr_oklab_to_rgb8(const double lab[3], uint8_t rgb[3])
{
    double lin[3];
    tsr_oklab_to_linear(lab, lin);
    for (int i = 0; i < 3; i++) {
        double v = tsr_linear_to_srgb(lin[i]);
        v = v < 0 ? 0 : v > 1 ? 1 : v;
        rgb[i] = (uint8_t)(v * 255.0 + 0.5);
    }
}

/* CIE 15:2004, f of eq. 8.6. */
static double lab_curve(double t)
{
    const double edge = 6.0 / 29.0;
    return t > edge * edge * edge ? cbrt(t) : t / (3 * edge * edge) + 4.0 / 29.0;
}

void tsr_rgb8_to_cielab(const uint8_t rgb[3], double lab[3])
{
    static const double to_xyz[9] = {0.4124564, 0.3575761, 0.1804375, 0.2126729, 0.7151522,
                                     0.0721750, 0.0193339, 0.1191920, 0.9503041};
    static const double white[3] = {0.950470, 1.0, 1.088830};
    double lin[3], xyz[3], f[3];
    rgb8_to_linear(rgb, lin);
    product(to_xyz, lin, xyz);
    for (int i = 0; i < 3; i++)
        f[i] = lab_curve(xyz[i] / white[i]);
    lab[0] = 116 * f[1] - 16;
    lab[1] = 500 * (f[0] - f[1]);
    lab[2] = 200 * (f[1] - f[2]);
}

double tsr_delta_e(const uint8_t a[3], const uint8_t b[3])
{
    double p[3], q[3], sum = 0;
    tsr_rgb8_to_cielab(a, p);
    tsr_rgb8_to_cielab(b, q);
    for (int i = 0; i < 3; i++)
        sum += (p[i] - q[i]) * (p[i] - q[i]);
    return sqrt(sum);
}
