package peers;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.scheduling.TaskScheduler;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;

/**
 * Spring's simple broker over raw WebSocket at {@code /ws}, as its manual sets it up, with heart-beats, and with
 * both options that keep one publisher's messages in order (they are off by default, and then it does not keep it).
 */
@SpringBootApplication
public class SimpleBroker {

    public static void main(String[] args) {
        SpringApplication.run(SimpleBroker.class, args);
    }

    @Configuration
    @EnableWebSocketMessageBroker
    static class Broker implements WebSocketMessageBrokerConfigurer {

        @Override
        public void registerStompEndpoints(StompEndpointRegistry registry) {
            registry.setPreserveReceiveOrder(true);
            registry.addEndpoint("/ws").setAllowedOriginPatterns("*");
        }

        @Override
        public void configureMessageBroker(MessageBrokerRegistry registry) {
            registry.setPreservePublishOrder(true);
            registry.setApplicationDestinationPrefixes("/app");
            registry.enableSimpleBroker("/topic")
                    .setTaskScheduler(beats())
                    .setHeartbeatValue(new long[] {10_000, 10_000});
        }

        @Bean
        TaskScheduler beats() {
            ThreadPoolTaskScheduler scheduler = new ThreadPoolTaskScheduler();
            scheduler.setThreadNamePrefix("beat-");
            return scheduler;
        }
    }
}
