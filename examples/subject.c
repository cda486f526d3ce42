/* A subject in C11, with the standard library alone:
 *
 *     cc -std=c11 -O2 -o subject examples/subject.c -lm
 *     spanver verify --command ./subject
 *
 * It reads and writes one JSON message a line, as docs/protocol.md says. It uses the compressed queries of the oracle,
 * `sample_counts` and `sample_until`: the harness draws and sends a summary, so this runs at any coverage. The example
 * in JavaScript draws every response itself.
 *
 * All memory of a run is freed in one place, when the run ends. Anything that goes wrong in a run jumps to that place
 * and becomes the error of the run.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static jmp_buf run_ends;
static const char *reason; /* why it ended */
static void fail(const char *why) {
    reason = why;
    longjmp(run_ends, 1);
}

typedef union Block { union Block *next; max_align_t aligned; } Block;
static Block *blocks;
/* Zeroed memory until the end of the run. */
static void *keep(size_t count, size_t size) {
    Block *block = calloc(1, sizeof *block + count * size + 1);
    if (block == NULL) exit(1);
    block->next = blocks;
    blocks = block;
    return block + 1;
}

static void free_kept(void) {
    for (Block *next; blocks != NULL; blocks = next) next = blocks->next, free(blocks);
}

static double *numbers(size_t count) { return keep(count, sizeof(double)); }

/* ---- JSON in. A value points to the text that it was read from. What is only passed on (ids, prompts, scores) is sent
 * back as that text, so large integers lose no digit. */

typedef struct Value {
    enum { NUMBER, STRING, LIST, OBJECT, OTHER } kind;
    const char *text, *key; /* key: of a member of an object, with its quotes */
    size_t length, key_length;
    double number;
    struct Value *first, *next;
} Value;

static const char *at; /* the next character to read */

static void skip_space(void) { at += strspn(at, " \t\r\n"); }

static const char *skip_string(void) {
    const char *start = at;
    if (*at++ != '"') fail("a key that is no string");
    for (; *at != '"'; at++) {
        if (*at == '\\') at++;
        if (*at == '\0') fail("a string that does not end");
    }
    at++;
    return start;
}

static Value *read_value(void) {
    Value *value = keep(1, sizeof *value);
    skip_space();
    value->text = at;
    if (*at == '"') {
        value->kind = STRING;
        skip_string();
    } else if (*at == '[' || *at == '{') {
        char close = *at == '[' ? ']' : '}';
        Value **end = &value->first;
        value->kind = *at == '[' ? LIST : OBJECT;
        for (at++, skip_space(); *at != close; skip_space()) {
            const char *key = NULL;
            size_t key_length = 0;
            if (value->kind == OBJECT) {
                key = skip_string();
                key_length = (size_t)(at - key);
                skip_space();
                if (*at++ != ':') fail("a key without a colon");
            }
            *end = read_value();
            (*end)->key = key;
            (*end)->key_length = key_length;
            end = &(*end)->next;
            skip_space();
            if (*at == ',') at++;
            else if (*at != close) fail("a list that does not end");
        }
        at++;
    } else {
        char *end;
        size_t letters = strspn(at, "aeflnrstu"); /* true, false and null */
        value->kind = letters > 0 ? OTHER : NUMBER;
        value->number = strtod(at, &end);
        at = letters > 0 ? at + letters : end;
        if (at == value->text) fail("something that is no JSON");
    }
    value->length = (size_t)(at - value->text);
    return value;
}

/* NULL at the end of the input. */
static const char *read_line(void) {
    size_t length = 0, room = 1 << 12;
    char *text = keep(room, 1);
    int letter;
    while ((letter = getchar()) != EOF && letter != '\n') {
        if (length + 1 == room) {
            char *larger = keep(2 * room, 1);
            memcpy(larger, text, length);
            text = larger;
            room *= 2;
        }
        text[length++] = (char)letter;
    }
    text[length] = '\0';
    return letter == EOF ? NULL : text;
}

static int is(const Value *value, const char *text) {
    return value->length == strlen(text) && memcmp(value->text, text, value->length) == 0;
}

static Value *find(const Value *object, const char *key) {
    for (Value *each = object->first; each != NULL; each = each->next)
        if (each->key_length == strlen(key) + 2 && memcmp(each->key + 1, key, strlen(key)) == 0) return each;
    return NULL;
}

static Value *get(const Value *object, const char *key) {
    Value *found = find(object, key);
    if (found == NULL) fail(key);
    return found;
}

static double number(const Value *object, const char *key) { return get(object, key)->number; }

typedef struct Array { double *at; size_t rows, columns; } Array; /* row by row; a vector has one column */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Base64 of little-endian numbers, on machines of either byte order. */
static void read_base64(const Value *text, double *into, size_t count) {
    uint64_t word = 0;
    unsigned bits = 0, group = 0, bytes = 0;
    size_t done = 0;
    for (size_t i = 1; i + 1 < text->length && done < count; i++) {
        const char *digit = strchr(digits, text->text[i]);
        if (digit == NULL) break; /* the padding at the end */
        group = (group << 6 | (unsigned)(digit - digits)) & 0xffff;
        if ((bits += 6) < 8) continue;
        bits -= 8;
        word |= (uint64_t)(group >> bits & 0xff) << 8 * bytes++;
        if (bytes == 8) {
            memcpy(&into[done++], &word, sizeof word);
            word = bytes = 0;
        }
    }
    if (done < count) fail("an array with fewer numbers than its shape has");
}

static size_t items(const Value *list) {
    size_t count = 0;
    for (const Value *each = list->first; each != NULL; each = each->next) count++;
    return count;
}

static Array read_array(const Value *value) {
    Array array = {NULL, 0, 1};
    const Value *shape = value->kind == OBJECT ? get(value, "shape")->first : NULL, *row = value->first;
    if (value->kind == OBJECT) {
        if (shape != NULL) array.rows = (size_t)shape->number;
        if (shape != NULL && shape->next != NULL) array.columns = (size_t)shape->next->number;
        array.at = numbers(array.rows * array.columns);
        read_base64(get(value, "float64"), array.at, array.rows * array.columns);
        return array;
    }
    array.rows = items(value);
    if (row != NULL && row->kind == LIST) array.columns = items(row);
    double *next = array.at = numbers(array.rows * array.columns);
    for (; row != NULL; row = row->next) {
        const Value *each = row->kind == LIST ? row->first : row;
        for (size_t i = 0; i < array.columns && each != NULL; i++, each = each->next) *next++ = each->number;
    }
    return array;
}

static Array get_array(const Value *object, const char *key) { return read_array(get(object, key)); }

/* ---- JSON out. A message is complete before its first byte is sent, so that an error never leaves half of one. */

typedef struct Text { char *at; size_t length, room; } Text;

static void put(Text *text, const char *letters, size_t length) {
    if (length == 0) return; /* an empty text may have no memory */
    if (text->length + length > text->room) {
        size_t room = 2 * (text->room + length);
        char *larger = keep(room, 1);
        if (text->length > 0) memcpy(larger, text->at, text->length);
        text->at = larger;
        text->room = room;
    }
    memcpy(text->at + text->length, letters, length);
    text->length += length;
}

static void put_text(Text *text, const char *letters) { put(text, letters, strlen(letters)); }

static void put_raw(Text *text, const Value *value) { put(text, value->text, value->length); }

static void put_formatted(Text *text, const char *format, double value) {
    char letters[400];
    snprintf(letters, sizeof letters, format, value);
    put_text(text, letters);
}

/* With 17 digits every number is read back bit for bit; an integer must not have an exponent. */
static void put_number(Text *text, double value) { put_formatted(text, "%.17g", value); }
static void put_count(Text *text, double value) { put_formatted(text, "%.0f", value); }

static void put_comma(Text *text, size_t index) { put_text(text, index > 0 ? "," : ""); } /* but before the first */

static void put_base64(Text *text, const double *values, size_t count) {
    unsigned group = 0, bits = 0;
    size_t letters = 0;
    for (size_t i = 0; i < 8 * count; i++) {
        uint64_t word;
        memcpy(&word, &values[i / 8], sizeof word);
        group = (group << 8 | (unsigned)(word >> 8 * (i % 8) & 0xff)) & 0xffff;
        for (bits += 8; bits >= 6; letters++) put(text, &digits[group >> (bits -= 6) & 63], 1);
    }
    if (bits > 0) put(text, &digits[group << (6 - bits) & 63], 1), letters++;
    for (; letters % 4 != 0; letters++) put_text(text, "=");
}

static void put_vector(Text *text, const double *values, size_t count) {
    int finite = 1;
    for (size_t i = 0; i < count; i++) finite = finite && isfinite(values[i]);
    if (!finite) { /* JSON has no infinity */
        put_text(text, "{\"shape\":["), put_count(text, (double)count);
        put_text(text, "],\"float64\":\""), put_base64(text, values, count), put_text(text, "\"}");
        return;
    }
    put_text(text, "[");
    for (size_t i = 0; i < count; i++) put_comma(text, i), put_number(text, values[i]);
    put_text(text, "]");
}

static void put_square(Text *text, const double *matrix, size_t d) {
    put_text(text, "[");
    for (size_t i = 0; i < d; i++) put_comma(text, i), put_vector(text, matrix + i * d, d);
    put_text(text, "]");
}

static void send_text(Text *text) {
    put_text(text, "}\n");
    fwrite(text->at, 1, text->length, stdout);
    fflush(stdout);
}

/* ---- Numerics. Square matrices are stored row by row. */

static double dot(const double *a, const double *b, size_t d) {
    double sum = 0.0;
    for (size_t i = 0; i < d; i++) sum += a[i] * b[i];
    return sum;
}

static double *cholesky(const double *matrix, size_t d) {
    double *lower = numbers(d * d);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double rest = matrix[i * d + j] - dot(lower + i * d, lower + j * d, j);
            lower[i * d + j] = i == j ? sqrt(rest) : rest / lower[j * d + j];
        }
    return lower;
}

/* z of L z = v: its length is the norm of v in the inverse of L L^T. */
static void solve_lower(const double *lower, const double *v, double *z, size_t d) {
    for (size_t i = 0; i < d; i++) z[i] = (v[i] - dot(lower + i * d, z, i)) / lower[i * d + i];
}

/* The inverse of sigma, as W^T W with W = L^-1, so that it is exactly symmetric. */
static double *inverse(const double *sigma, size_t d) {
    double *lower = cholesky(sigma, d), *columns = numbers(d * d), *result = numbers(d * d);
    for (size_t k = 0; k < d; k++) {
        double *unit = numbers(d);
        unit[k] = 1.0;
        solve_lower(lower, unit, columns + k * d, d);
    }
    for (size_t i = 0; i < d * d; i++) result[i] = dot(columns + i / d * d, columns + i % d * d, d);
    return result;
}

static void turn(double *one, double *other, double c, double s) {
    double first = c * *one - s * *other;
    *other = s * *one + c * *other;
    *one = first;
}

/* Jacobi's rotations: a becomes diagonal, and the columns of vectors become its eigenvectors. */
static void diagonalise(double *a, double *vectors, size_t d) {
    double largest = 0.0;
    for (size_t i = 0; i < d * d; i++) largest = fmax(largest, fabs(a[i])), vectors[i] = i % (d + 1) == 0;
    for (int sweep = 0, rotated = 1; rotated && sweep < 60; sweep++) {
        rotated = 0;
        for (size_t p = 0; p < d; p++)
            for (size_t q = p + 1; q < d; q++) {
                if (fabs(a[p * d + q]) <= 1e-18 * largest) continue;
                double tau = (a[q * d + q] - a[p * d + p]) / (2.0 * a[p * d + q]);
                double t = copysign(1.0, tau) / (fabs(tau) + hypot(1.0, tau)); /* the smaller angle converges */
                double c = 1.0 / hypot(1.0, t), s = c * t;
                for (size_t k = 0; k < d; k++) turn(&a[k * d + p], &a[k * d + q], c, s);
                for (size_t k = 0; k < d; k++) turn(&a[p * d + k], &a[q * d + k], c, s);
                for (size_t k = 0; k < d; k++) turn(&vectors[k * d + p], &vectors[k * d + q], c, s);
                a[p * d + q] = a[q * d + p] = 0.0;
                rotated = 1;
            }
    }
}

/* The maximum is subtracted before exponentiating: exponents of 1e8 are ordinary if beta is small. */
static double log_sum_exp(const double *exponents, size_t count) {
    double peak = -INFINITY, sum = 0.0;
    for (size_t i = 0; i < count; i++) peak = fmax(peak, exponents[i]);
    for (size_t i = 0; i < count; i++) sum += exp(exponents[i] - peak);
    return peak + log(sum);
}

/* Our own random numbers in [0, 1): splitmix64. The oracle has others. */
static double uniform(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* ---- The oracle. */
static double seq; /* of the run */

static void put_argument(Text *text, const char *key) {
    put_text(text, ",\""), put_text(text, key), put_text(text, "\":");
}

static Text query_about(const Value *prompt, const char *query) {
    Text text = {0};
    put_text(&text, "{\"seq\":"), put_count(&text, seq);
    put_argument(&text, "ask"), put_text(&text, "\""), put_text(&text, query), put_text(&text, "\"");
    if (prompt != NULL) put_argument(&text, "prompt"), put_raw(&text, prompt);
    return text;
}

static const Value *answer_to(Text *query) {
    send_text(query);
    at = read_line();
    if (at == NULL) exit(0); /* the harness has closed our input */
    const Value *message = read_value();
    if (find(message, "refused") != NULL) fail("a query was refused"); /* as when the budget is used up */
    return get(message, "answer");
}

static const Value *ask_prompt(void) {
    Text text = query_about(NULL, "prompt");
    return answer_to(&text);
}

static double ask_reward(const Value *prompt, const Value *response) {
    Text text = query_about(prompt, "reward");
    put_argument(&text, "response"), put_raw(&text, response);
    return answer_to(&text)->number;
}

/* sample and sample_counts. */
static const Value *ask_draws(const char *query, const Value *prompt, double count) {
    Text text = query_about(prompt, query);
    put_argument(&text, "count"), put_count(&text, count);
    return answer_to(&text);
}

/* The rule is sent unchanged. Returns the responses of the try that it accepted, or NULL. */
static const Value *ask_until(const Value *prompt, const Text *rule, double limit) {
    Text text = query_about(prompt, "sample_until");
    put_argument(&text, "rule"), put(&text, rule->at, rule->length);
    put_argument(&text, "limit"), put_count(&text, limit);
    const Value *responses = get(answer_to(&text), "responses");
    return responses->kind == OBJECT ? responses : NULL;
}

/* ---- What we provide. Each takes the arguments of the run, and writes its result. */

static void elliptic_norms(const Value *given, Text *result) {
    Array features = get_array(given, "features"), sigma = get_array(given, "sigma");
    size_t d = sigma.rows;
    double *lower = cholesky(sigma.at, d), *z = numbers(d), *norms = numbers(features.rows);
    for (size_t i = 0; i < features.rows; i++) {
        solve_lower(lower, features.at + i * d, z, d);
        norms[i] = sqrt(dot(z, z, d));
    }
    put_vector(result, norms, features.rows);
}

static void log_softmax(const Value *given, Text *result) {
    Array base = get_array(given, "log_base"), scores = get_array(given, "scores");
    double beta = number(given, "beta"), *exponents = numbers(base.rows);
    for (size_t i = 0; i < base.rows; i++) exponents[i] = base.at[i] + scores.at[i] / beta;
    double log_normaliser = log_sum_exp(exponents, base.rows);
    for (size_t i = 0; i < base.rows; i++) exponents[i] = base.at[i] + (scores.at[i] / beta - log_normaliser);
    put_vector(result, exponents, base.rows);
}

/* Length of theta, in units of the radius and in the eigenbasis: theta_i = c_i / (curvature_i + mu). */
static double length_at(double mu, const double *c, const double *curvature, size_t d) {
    double square = 0.0;
    for (size_t i = 0; i < d; i++) square += pow(c[i] / (curvature[i] + mu), 2.0);
    return sqrt(square);
}

/* Least squares on the ball: the multiplier mu >= 0 is 0, or puts theta on the sphere. */
static void fit(const Value *given, Text *result) {
    Array v = get_array(given, "features"), y = get_array(given, "targets");
    double radius = number(given, "radius"), scale = 0.0, largest = 0.0, mu = 0.0;
    size_t d = v.columns;
    double *gram = numbers(d * d), *basis = numbers(d * d), *moment = numbers(d), *c = numbers(d);
    double *curvature = numbers(d), *theta = numbers(d);
    for (size_t row = 0; row < v.rows; row++)
        for (size_t i = 0; i < d; i++) {
            moment[i] += v.at[row * d + i] * y.at[row];
            for (size_t j = 0; j < d; j++) gram[i * d + j] += v.at[row * d + i] * v.at[row * d + j];
        }
    /* In units of the radius and of the larger of both moments, nothing below overflows. */
    for (size_t i = 0; i < d * d; i++) scale = fmax(scale, fabs(gram[i]));
    for (size_t i = 0; i < d; i++) scale = fmax(scale, fabs(moment[i]) / radius);
    if (scale == 0.0) scale = 1.0; /* no data, or only zeros: theta is 0 */
    for (size_t i = 0; i < d * d; i++) gram[i] /= scale;
    diagonalise(gram, basis, d);
    for (size_t i = 0; i < d; i++) {
        curvature[i] = fmax(gram[i * d + i], 0.0);
        largest = fmax(largest, curvature[i]);
        for (size_t k = 0; k < d; k++) c[i] += basis[k * d + i] * (moment[k] / scale / radius);
    }
    /* In a direction outside the data, curvature and moment are rounding errors: theta is 0 there. */
    double length = sqrt(dot(c, c, d)), rounding = 1e3 * (double)d * DBL_EPSILON, smallest = INFINITY, steepest = 0.0;
    for (size_t i = 0; i < d; i++)
        if (curvature[i] <= rounding * largest && fabs(c[i]) <= rounding * length) c[i] = 0.0, curvature[i] = 1.0;
    for (size_t i = 0; i < d; i++) smallest = fmin(smallest, curvature[i]);
    for (size_t i = 0; i < d; i++)
        if (curvature[i] == smallest) steepest = fmax(steepest, fabs(c[i]));
    if (smallest == 0.0 || length_at(0.0, c, curvature, d) > 1.0) {
        /* 1/length is concave in mu, so Newton's steps from the left of the root of 1/length = 1 never overshoot. */
        mu = fmax(fmax(length - fmax(largest, 1.0), steepest * (1.0 - 1e-12) - smallest), 0.0);
        for (int step = 0; step < 100; step++) {
            double now = length_at(mu, c, curvature, d), slope = 0.0;
            for (size_t i = 0; i < d; i++) slope += pow(c[i] / (curvature[i] + mu), 2.0) / (curvature[i] + mu);
            double next = mu + (now - 1.0) * now * now / slope;
            if (now <= 1.0 + 1e-15 || next == mu) break;
            mu = next;
        }
    }
    for (size_t k = 0; k < d; k++)
        for (size_t i = 0; i < d; i++) theta[k] += radius * basis[k * d + i] * c[i] / (curvature[i] + mu);
    put_vector(result, theta, d);
}

static void draw(const Value *given, Text *result) {
    Array law = get_array(given, "probabilities");
    uint64_t state = strtoull(get(given, "seed")->text, NULL, 10);
    double total = 0.0, count = number(given, "count"), *cumulative = numbers(law.rows);
    size_t last = 0;
    for (size_t i = 0; i < law.rows; i++) {
        cumulative[i] = total += law.at[i];
        if (law.at[i] > 0.0) last = i;
    }
    put_text(result, "[");
    for (size_t k = 0; k < count; k++) {
        double quantile = uniform(&state) * total; /* by rounding it may reach the total */
        size_t index = 0;
        while (index < last && !(cumulative[index] > quantile)) index++;
        put_comma(result, k), put_count(result, (double)index);
    }
    put_text(result, "]");
}

/* Phase 1 of SpannerSampling: one query a round, whose rule depends on the pairs accepted before. */
static void build_spanner(const Value *given, Text *result) {
    size_t d = (size_t)number(get(given, "oracle"), "dimension"), accepted = 0;
    double prompts = number(given, "prompts"), *sigma = numbers(d * d), *v = numbers(d);
    Text asked = {0}, first = {0}, second = {0}, vectors = {0}, targets = {0}, rule = {0};
    for (size_t i = 0; i < d; i++) sigma[i * (d + 1)] = number(given, "ridge");
    for (double round = 0.0; round < prompts; round++) {
        if (rule.length == 0) { /* sigma has changed */
            put_text(&rule, "{\"kind\":\"UncertainPairRule\",\"precision\":");
            put_square(&rule, inverse(sigma, d), d);
            put_argument(&rule, "nu"), put_raw(&rule, get(given, "nu")), put_text(&rule, "}");
        }
        const Value *prompt = ask_prompt(), *pair = ask_until(prompt, &rule, number(given, "pairs_per_prompt"));
        if (pair == NULL) continue;
        const Value *one = get(pair, "ids")->first, *two = one->next;
        Array features = get_array(pair, "features");
        for (size_t i = 0; i < d; i++) v[i] = features.at[i] - features.at[d + i];
        for (size_t i = 0; i < d * d; i++) sigma[i] += v[i / d] * v[i % d];
        put_comma(&asked, accepted), put_raw(&asked, prompt);
        put_comma(&first, accepted), put_raw(&first, one);
        put_comma(&second, accepted), put_raw(&second, two);
        put_comma(&vectors, accepted), put_vector(&vectors, v, d);
        double reward = ask_reward(prompt, one);
        put_comma(&targets, accepted), put_number(&targets, reward - ask_reward(prompt, two));
        accepted++;
        rule.length = 0;
    }
    const char *keys[] = {"{\"prompts\":[", "],\"first\":[", "],\"second\":[", "],\"vectors\":[", "],\"targets\":["};
    const Text *lists[] = {&asked, &first, &second, &vectors, &targets};
    for (size_t i = 0; i < 5; i++) put_text(result, keys[i]), put(result, lists[i]->at, lists[i]->length);
    put_text(result, "],\"sigma\":"), put_square(result, sigma, d), put_text(result, "}");
}

/* Scores of responses: <theta, phi>, or <theta, v> of v = phi - anchor where the spanner covers v, and 0 elsewhere. */
static double *scores_of(const Value *score, Array features) {
    Array theta = get_array(score, "theta"), anchor = {0}, precision = {0};
    size_t d = theta.rows;
    double *scores = numbers(features.rows), *v = numbers(d), nu = INFINITY;
    if (is(get(score, "kind"), "\"TruncatedScore\"")) {
        anchor = get_array(score, "anchor"), precision = get_array(score, "precision");
        nu = number(score, "nu");
    }
    for (size_t row = 0; row < features.rows; row++) {
        double square = 0.0;
        for (size_t i = 0; i < d; i++) v[i] = features.at[row * d + i] - (anchor.at ? anchor.at[i] : 0.0);
        for (size_t i = 0; precision.at && i < d; i++) square += v[i] * dot(precision.at + i * d, v, d);
        if (square <= nu * nu) scores[row] = dot(theta.at, v, d);
    }
    return scores;
}

/* Rejection sampling: the counts of N draws give the mean weight Z, and the oracle then draws until it accepts one with
 * probability min(1, w/(M Z)), at most N times. */
static void softmax_sample(const Value *given, Text *result) {
    const Value *prompt = get(given, "prompt"), *score = get(given, "score");
    double beta = number(get(given, "oracle"), "beta"), multiplier = number(given, "multiplier");
    double trials = ceil(4.0 * multiplier * log(4.0 / number(given, "failure")));
    const Value *pilot = ask_draws("sample_counts", prompt, trials);
    Array counts = get_array(pilot, "counts");
    double *exponents = scores_of(score, get_array(get(pilot, "responses"), "features"));
    for (size_t i = 0; i < counts.rows; i++) exponents[i] = exponents[i] / beta + log(counts.at[i]) - log(trials);
    Text rule = {0};
    put_text(&rule, "{\"kind\":\"RejectionRule\",\"score\":"), put_raw(&rule, score);
    put_argument(&rule, "log_threshold"), put_number(&rule, log(multiplier) + log_sum_exp(exponents, counts.rows));
    put_text(&rule, "}");
    const Value *found = ask_until(prompt, &rule, trials);
    if (found == NULL) found = ask_draws("sample", prompt, 1.0);
    put_raw(result, get(found, "ids")->first);
}

static const struct {
    const char *name;
    void (*call)(const Value *given, Text *result);
} functions[] = {
    {"\"elliptic_norms\"", elliptic_norms}, {"\"log_softmax\"", log_softmax},     {"\"fit\"", fit}, {"\"draw\"", draw},
    {"\"build_spanner\"", build_spanner},   {"\"softmax_sample\"", softmax_sample},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static void serve_run(void) {
    Text text = {0};
    const Value *message = read_value();
    seq = number(message, "seq");
    put_text(&text, "{\"seq\":"), put_count(&text, seq), put_text(&text, ",\"result\":");
    for (size_t i = 0; i < FUNCTIONS; i++)
        if (is(get(message, "run"), functions[i].name)) {
            functions[i].call(get(message, "arguments"), &text);
            send_text(&text);
            return;
        }
    fail("not provided");
}

int main(void) {
    read_line(); /* the harness's hello; the harness compares its version with ours */
    printf("{\"hello\":{\"protocol\":2,\"name\":\"example in C\",\"claims\":[\"A1\"],\"provides\":[");
    for (size_t i = 0; i < FUNCTIONS; i++) printf("%s%s", i > 0 ? "," : "", functions[i].name);
    printf("]}}\n");
    fflush(stdout);
    while ((at = read_line()) != NULL) {
        if (setjmp(run_ends) == 0) serve_run();
        else printf("{\"seq\":%.0f,\"error\":\"%s\"}\n", seq, reason), fflush(stdout);
        free_kept();
    }
    return 0;
}
