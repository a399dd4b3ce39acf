// Scaled dot-product attention with Keras' masks. Keras never uses -infinity: a row of scores that is masked throughout
// gives uniform weights (or zeros, or, added to, those of the scores), not NaN.
#pragma once

#include <functional>

#include "graph/builder.h"

namespace midstream::math {

struct Attention {
  double scale = 1;  // of the product of query and key
  Value mask;        // what to keep, broadcastable to [..., query, key], or null
  // What a mask does to scores. Replace: masked scores become a large negative number, without gradient (Keras 3's
  // ops.dot_product_attention). Zero: and masked weights become 0 (Keras 3's Softmax layer, through which
  // MultiHeadAttention goes when it drops or returns weights). Add: (1 - mask) * -1e9 is added (Keras 2); the mask may
  // then be a number between 0 and 1.
  enum class Masking { Replace, Zero, Add } masking = Masking::Replace;
  bool causal = false;  // and key positions after the query's are masked (only without `mask`)
};

// softmax(scale q k^T, masked) v, as one kernel. q [..., query, width], k [..., key, width], v [..., key, value width].
Value attention(Builder& b, Value q, Value k, Value v, const Attention& how);
// The weights alone, softmax(scale q k^T, masked): where they are an output, or are dropped from.
Value attention_weights(Builder& b, Value q, Value k, const Attention& how);
// The weights of scores [..., query, key] that were computed in another way; of `how`, its masks count.
Value attention_weights_of(Builder& b, Value scores, const Attention& how);
// scores with `mask` applied as Keras 3's Softmax layer does: -1e9 where it is false.
Value replace_masked(Builder& b, Value scores, Value mask);

// bool [1, query, key]: true where the key is not after the query.
Value causal_mask(Builder& b, const Int& query, const Int& key);
// bool [1, query, key]: true where they are less than `window` apart.
Value window_mask(Builder& b, const Int& query, const Int& key, int64_t window);

}  // namespace midstream::math
