"""Models of LightGBM, XGBoost and CatBoost in the formats of their libraries, validated before a library reads them.

wrappers          estimators of scikit-learn's interface around a model: their class, parameters and attributes
lightgbm_models   LightGBM, as text
lightgbm_text     what must hold of the text
xgboost_models    XGBoost, as UBJSON
ubjson            UBJSON
xgboost_trees     what must hold of the values
catboost_models   CatBoost, as cbm
catboost_trees    what must hold of a cbm
flatbuffer        tables of FlatBuffers
trees             what must hold of arrays of children
"""
