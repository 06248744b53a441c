"""Image encoders behind one interface: four feature maps at strides 4, 8, 16 and 32."""
